-- The jobs that a list shows: those that run, the newest others that have not ended, the newest that have.
-- Answers how many that have not ended are left out, then ids. ARGV: most_live most_ended
local live,rest,out,known=redis.call('SMEMBERS','darkmux:live'),{},{'0'},{}
for _,id in ipairs(live) do
  known[id]=true
  local h=redis.pcall('HMGET',job_key(id),'state','created')
  if h.err then h={} end
  if h[1]=='running' then out[#out+1]=id
  elseif h[1] then rest[#rest+1]={tonumber(h[2]) or 0,id} end
end
local most,ended=tonumber(ARGV[1]),tonumber(ARGV[2])
table.sort(rest,function(a,b) if a[1]~=b[1] then return a[1]>b[1] end return a[2]>b[2] end)
for i=1,math.min(#rest,most) do out[#out+1]=rest[i][2] end
out[1]=tostring(math.max(0,#rest-most))
if ended>0 then
  for _,id in ipairs(redis.call('ZRANGE','darkmux:jobs',0,ended+#live,'REV')) do
    if not known[id] and ended>0 then out[#out+1]=id; ended=ended-1 end
  end
end
return out
