-- An ended job is queued once more, with its attempts counted on; what those up to `since` tell later counts no
-- longer. Its new life begins in the lane that it was published to, whoever gave it back before; where that cannot
-- be read (`lane` is empty) it stays where it is. ARGV: id max spec lane lane_json
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','lane','record','lanedoc','attempt')
if not h[1] then return {'unknown'} end
if not TERMINAL[h[1]] then return {'live',h[1]} end
if redis.call('SCARD','darkmux:live')>=tonumber(ARGV[2]) then return {'full'} end
local lane,doc=h[2],h[4]
redis.call('PERSIST',key)
redis.call('HDEL',key,'cancel','result','finished','why','legacy','parked','offers','offer_due')
if ARGV[4]~='' then
  lane,doc=ARGV[4],ARGV[5]
  redis.call('HSET',key,'spec',ARGV[3],'lane',lane,'lanedoc',doc)
  for _,field in ipairs(redis.call('HKEYS',key)) do
    -- Attempts that were given back (`left:`) stay so: their numbers come again.
    if string.sub(field,1,9)=='declined:' then redis.call('HDEL',key,field) end
  end
end
redis.call('HSET',key,'state','queued','tok','none','losses',0,'fails',0,'queued',now,'entry',enqueue(id,lane,h[3],doc),'since',h[5] or 0)
redis.call('SADD','darkmux:live',id)
redis.call('DEL','darkmux:log:'..id)
return {'ok'}
