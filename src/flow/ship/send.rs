//! One batch to Redis: compare the mark, add the records, move the mark.

use crate::flow::shared::SharedFlow;
use crate::model::{FLOW_SCHEMA, Position};
use crate::store::{RedisFault, script};

/// Keys: the marks, the stream. Arguments: log, the mark that is expected, the most entries (0 keeps all), the
/// mark afterwards, the schema, then place and record of each. Nothing is written before everything was
/// compared, because Redis rolls nothing back.
const SHIP: &str = r"
local cur = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if cur ~= ARGV[2] then return {'seek', cur} end
for i = 6, #ARGV, 2 do
  if ARGV[3] == '0' then
    redis.call('XADD', KEYS[2], '*', 'schema', ARGV[5], 'record', ARGV[i+1], 'log', ARGV[1], 'pos', ARGV[i])
  else
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*',
      'schema', ARGV[5], 'record', ARGV[i+1], 'log', ARGV[1], 'pos', ARGV[i])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return {'ok', ARGV[4]}
";

/// Records that follow each other in the files.
#[derive(Debug, Default)]
pub struct Load {
    /// Each with the place after it.
    pub records: Vec<(Position, Vec<u8>)>,
    /// Where the mark stands afterwards: lines that are no records are behind it.
    pub end: Option<Position>,
}

/// What Redis did.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// They are in the stream, and the mark is behind them.
    Kept,
    /// Nothing was done: the mark stands elsewhere.
    Seek(String),
}

/// Sends a load that follows the mark `prev`.
pub async fn send(flow: &SharedFlow, prev: &str, load: &Load) -> Result<Sent, RedisFault> {
    let Some(end) = load.end.map(|end| end.to_string()) else { return Ok(Sent::Kept) };
    let script = script(SHIP);
    let mut call = script.key(flow.marks());
    call.key(&flow.stream).arg(&flow.log).arg(prev);
    call.arg(flow.maxlen.unwrap_or(0)).arg(&end).arg(FLOW_SCHEMA);
    for (pos, line) in &load.records {
        call.arg(pos.to_string()).arg(line);
    }
    let (word, mark): (String, String) = flow.redis.script(&call).await?;
    Ok(match word.as_str() {
        "ok" => Sent::Kept,
        // The reply to an earlier try was lost.
        _ if mark == end => Sent::Kept,
        _ => Sent::Seek(mark),
    })
}
