-- The claimer cannot run it after all: back to the queue in a lane that leaves the claimer out.
-- ARGV: id tok machine reason lane lane_json
local id,lane=ARGV[1],ARGV[5]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','lane','entry','record')
if h[1]~='running' or h[2]~=ARGV[2] then return {'fenced'} end
drop(h[3],h[4])
redis.call('HSET',key,'state','queued','lane',lane,'lanedoc',ARGV[6],'entry',enqueue(id,lane,h[5],ARGV[6]),'tok','none','queued',now,'declined:'..ARGV[3],ARGV[4])
-- A declined try is no attempt: nothing ran.
redis.call('HINCRBY',key,'attempt',-1)
return {'ok'}
