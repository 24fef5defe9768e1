-- ARGV: id tok outcome result max_fails backoff_ms ttl_s
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'attempt','machine','started','state','tok','lane','entry','since','cancel')
if not h[4] or forgot(h[4],h[1],h[8],ARGV[2]) then return {'unknown'} end
if h[5]~=ARGV[2] then return {'fenced',h[4]} end
if h[4]~='running' then return {'already',h[4]} end
drop(h[6],h[7])
local st=ARGV[3]
local try,how=try_of(h,st)
local again=st=='failed' and redis.call('HINCRBY',key,'fails',1)<tonumber(ARGV[5])
if again and h[9] and h[9]~='' then
  -- Nobody wants another try of it.
  close(key,id,'cancelled',ARGV[7],try,how,'result',ARGV[4],'why',h[9])
  return {'ok'}
end
if again then
  -- What failed is begun anew.
  redis.call('DEL',checkpoint_key(id))
  redis.call('HSET',key,'state','waiting','due',now+ARGV[6],'entry','',try,how,'result',ARGV[4])
  return {'again'}
end
close(key,id,st,ARGV[7],try,how,'result',ARGV[4])
if st=='dead' then dead_letter(id,'refused',ARGV[2]) end
return {'ok'}
