-- The list of ids forgets jobs that are gone. Only the older ones are asked for: younger ones are mostly there.
-- ARGV: older_than_ms
local gone=0
for _,id in ipairs(redis.call('ZRANGEBYSCORE','darkmux:jobs','-inf',now-tonumber(ARGV[1]),'LIMIT',0,1000)) do
  if redis.call('EXISTS',job_key(id))==0 then gone=gone+redis.call('ZREM','darkmux:jobs',id) end
end
return {'ok',tostring(gone)}
