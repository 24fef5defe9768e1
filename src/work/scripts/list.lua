-- Jobs, each with no more than the beginning of its record: messages may be large. ARGV: bytes id...
local out={}
local bytes=tonumber(ARGV[1])
for i=2,#ARGV do
  local h=redis.pcall('HGETALL',job_key(ARGV[i]))
  if h.err then h={} end
  for n=1,#h,2 do if h[n]=='record' then h[n+1]=string.sub(h[n+1],1,bytes) end end
  out[i-1]=h
end
return out
