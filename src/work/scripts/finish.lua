-- ARGV: id tok outcome result max_fails backoff_ms ttl_s
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','lane','entry','attempt','machine','started')
if h[1]~='running' or h[2]~=ARGV[2] then
  if not h[1] or forgot(h[1],h[5],redis.call('HGET',key,'since'),ARGV[2]) then return {'unknown'} end
  return {h[2]~=ARGV[2] and 'fenced' or 'already',h[1]}
end
drop(h[3],h[4])
local st=ARGV[3]
local try,how=try_of(h[5],h[6],h[7],st)
local again=st=='failed' and redis.call('HINCRBY',key,'fails',1)<tonumber(ARGV[5])
local cancel=again and redis.call('HGET',key,'cancel')
if cancel and cancel~='' then
  -- Nobody wants another try of it.
  close(key,id,'cancelled',ARGV[7],try,how,'result',ARGV[4],'why',cancel)
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
