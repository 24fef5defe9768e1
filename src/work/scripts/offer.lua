-- A job that runners gave back is offered to all of them once more, in the lane that it was published to: what kept
-- them may be over. Each time it takes twice as long, up to 2^doublings pauses.
-- ARGV: id lane lane_json pause_ms doublings
local id,lane=ARGV[1],ARGV[2]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','lane','entry','record','queued','offers')
if h[1]~='queued' or h[2]==lane then return {'no'} end
local offers=tonumber(h[6] or 0) or 0
local waited=now-(tonumber(h[5] or 0) or 0)
-- A clock that was set back does not keep it.
if waited>=0 and waited<ARGV[4]*2^math.min(offers,tonumber(ARGV[5])) then return {'no'} end
drop(h[2],h[3])
redis.call('HSET',key,'lane',lane,'lanedoc',ARGV[3],'entry',enqueue(id,lane,h[4],ARGV[3]),'queued',now,'offers',offers+1)
return {'ok'}
