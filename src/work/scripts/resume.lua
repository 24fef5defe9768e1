-- A job still runs here and the server forgot its claim: it is running again. An attempt that the server knows to
-- have ended, to be lost or given back stays so, and so does the job that somebody else began.
-- ARGV: id tok consumer machine spec record lane lane_json fails losses idem idem_ttl_ms
local id,tok=ARGV[1],ARGV[2]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','entry','attempt','lane','cancel','since','left:'..tok,'fails','losses')
if h[1]=='running' and h[2]==tok then
  redis.call('HSET',key,'owner',ARGV[3],'machine',ARGV[4])
  redis.call('HINCRBY',key,'hb',1)
  return {'ok',h[6] or ''}
end
if h[1] and (h[8] or not forgot(h[1],h[4],h[7],tok)) then return {'lost',h[1]} end
drop(h[5],h[3])
if not h[1] then
  redis.call('HSET',key,'id',id,'lane',ARGV[7],'lanedoc',ARGV[8],'created',now,'record',ARGV[6],'spec',ARGV[5])
  redis.call('ZADD','darkmux:jobs',now,id)
  remember_key(id,ARGV[11],ARGV[12])
end
-- What the attempts before it had come to is forgotten with its claim.
local fails=math.max(tonumber(h[9] or 0) or 0,tonumber(ARGV[9]))
local losses=math.max(tonumber(h[10] or 0) or 0,tonumber(ARGV[10]))
redis.call('SADD','darkmux:live',id)
redis.call('HSET',key,'state','running','tok',tok,'attempt',tonumber(string.match(tok,'^(%d+)')),'owner',ARGV[3],
  'machine',ARGV[4],'hb',1,'started',now,'entry','','fails',fails,'losses',losses)
return {'ok',h[6] or ''}
