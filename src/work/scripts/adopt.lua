-- An entry of darkmux 1.9, or one whose hash is gone, becomes a job that its claimer runs.
-- ARGV: id consumer machine nonce lane entry record spec
local id,consumer,lane,entry=ARGV[1],ARGV[2],ARGV[5],ARGV[6]
local key=job_key(id)
local p=redis.call('XPENDING',lane,G,entry,entry,1)
if #p==0 or p[1][2]~=consumer then return {'notmine'} end
local h=redis.call('HMGET',key,'state','tok')
if h[1]=='running' and string.match(h[2] or '','%-(.*)$')==ARGV[4] then return {'run',h[2]} end
if h[1] then drop(lane,entry); return {'dup',h[1]} end
local tok='1-'..ARGV[4]
redis.call('HSET',key,'id',id,'lane',lane,'entry',entry,'attempt',1,'losses',0,'fails',0,'hb',0,'created',now,'queued',now,
  'started',now,'state','running','tok',tok,'owner',consumer,'machine',ARGV[3],'record',ARGV[7],'spec',ARGV[8])
redis.call('SADD','darkmux:live',id)
redis.call('ZADD','darkmux:jobs',now,id)
return {'run',tok}
