-- ARGV: id spec record lane lane_json idem idem_ttl_ms max delay_ms hint head_start_ms
local id,lane,idem=ARGV[1],ARGV[4],ARGV[6]
if idem~='' then
  local old=redis.call('GET','darkmux:idem:'..idem)
  if old then return {'dup',old} end
end
local key=job_key(id)
if redis.call('EXISTS',key)==1 then return {'dup',id} end
if redis.call('SCARD','darkmux:live')>=tonumber(ARGV[8]) then return {'full'} end
register(lane,ARGV[5])
local delay=tonumber(ARGV[9])
if delay>0 then
  redis.call('HSET',key,'state','waiting','due',now+delay,'entry','')
  hint('due',id)
else
  redis.call('HSET',key,'state','queued','entry',enqueue(id,lane,ARGV[3],ARGV[5]))
end
redis.call('HSET',key,'id',id,'lane',lane,'lanedoc',ARGV[5],'attempt','0','losses','0','fails','0','hb','0','created',now,'queued',now,'spec',ARGV[2],'record',ARGV[3])
redis.call('SADD','darkmux:live',id)
redis.call('ZADD','darkmux:jobs',now,id)
if idem~='' then redis.call('SET','darkmux:idem:'..idem,id,'PX',ARGV[7]) end
if ARGV[10]~='' and tonumber(ARGV[11])>0 then
  redis.call('HSET',key,'hint',ARGV[10],'hint_until',now+ARGV[11])
  redis.call('SET','darkmux:hinted','1','PX',ARGV[11])
end
return {'ok',id}
