-- A job that runners gave back is offered to them once more, in this lane, when its time has come: what kept them may
-- be over. A time that is further off than `most` is of before the clock was set back; with 0 it has come.
-- ARGV: id lane lane_json most_ms
local id,lane=ARGV[1],ARGV[2]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','lane','entry','record','offer_due','offers')
if h[1]~='queued' or h[2]==lane then return {'no'} end
local left=(tonumber(h[5] or 0) or 0)-now
if left>0 and left<=tonumber(ARGV[4]) then return {'no'} end
drop(h[2],h[3])
redis.call('HDEL',key,'offer_due')
redis.call('HSET',key,'lane',lane,'lanedoc',ARGV[3],'entry',enqueue(id,lane,h[4],ARGV[3]),'offers',(tonumber(h[6] or 0) or 0)+1)
return {'ok'}
