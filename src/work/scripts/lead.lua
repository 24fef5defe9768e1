-- Which observer also looks at what is queued: the first one, until it is silent for the time. A mark that stays
-- longer than that is of before the clock was set back. ARGV: name ttl_ms
local leader=redis.call('GET','darkmux:reconciler')
if leader and leader~=ARGV[1] then
  local left=redis.call('PTTL','darkmux:reconciler')
  if left>=0 and left<=tonumber(ARGV[2]) then return {'follows',leader} end
end
redis.call('SET','darkmux:reconciler',ARGV[1],'PX',ARGV[2])
return {'leads'}
