-- The claimer cannot run it after all: back to the queue in a lane that leaves the claimer out, until it is offered
-- again, each time after twice as long a pause, up to 2^doublings of the first; or cancelled when somebody asked for
-- that. Without a pause its lane says what it waits for.
-- ARGV: id tok machine reason lane lane_json ttl_s pause_ms doublings
local id,lane=ARGV[1],ARGV[5]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','lane','entry','record','cancel','offers')
if h[1]~='running' or h[2]~=ARGV[2] then return {'fenced'} end
drop(h[3],h[4])
-- A declined try is no attempt: nothing ran. Its number comes again, and its token never.
redis.call('HINCRBY',key,'attempt',-1)
redis.call('HSET',key,'tok','none','declined:'..ARGV[3],ARGV[4],'left:'..ARGV[2],1)
redis.call('HDEL',key,'machine','started','legacy')
if h[6] and h[6]~='' then
  close(key,id,'cancelled',ARGV[7],'why',h[6])
  return {'cancelled'}
end
if ARGV[8]~='' then
  local pauses=2^math.min(tonumber(h[7] or 0) or 0,tonumber(ARGV[9]))
  redis.call('HSET',key,'offer_due',string.format('%.0f',now+ARGV[8]*pauses))
end
-- It has waited since before it was claimed.
redis.call('HSET',key,'state','queued','lane',lane,'lanedoc',ARGV[6],'entry',enqueue(id,lane,h[5],ARGV[6]))
return {'ok'}
