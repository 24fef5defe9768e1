-- The claimer cannot run it after all: back to the queue in a lane that leaves the claimer out, or cancelled when
-- somebody asked for that.
-- ARGV: id tok machine reason lane lane_json ttl_s
local id,lane=ARGV[1],ARGV[5]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','lane','entry','record','cancel')
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
redis.call('HSET',key,'state','queued','lane',lane,'lanedoc',ARGV[6],'entry',enqueue(id,lane,h[5],ARGV[6]),'queued',now)
return {'ok'}
