-- A job still runs here and the server forgot it: it is running again, unless somebody else began it.
-- ARGV: id tok consumer machine spec record lane lane_json
local id,tok=ARGV[1],ARGV[2]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','entry','attempt','lane','cancel','since')
local a=tonumber(string.match(tok,'^(%d+)'))
if h[1]=='running' and h[2]==tok then
  redis.call('HSET',key,'owner',ARGV[3],'machine',ARGV[4])
  redis.call('HINCRBY',key,'hb',1)
  return {'ok',h[6] or ''}
end
if TERMINAL[h[1]] then return {'lost',h[1]} end
if h[1]=='running' or (h[1] and (tonumber(h[4] or 0)>a or tonumber(h[7] or 0)>=a)) then return {'lost',h[1]} end
drop(h[5],h[3])
if not h[1] then
  redis.call('HSET',key,'id',id,'lane',ARGV[7],'lanedoc',ARGV[8],'created',now,'record',ARGV[6],'spec',ARGV[5],'losses',0,'fails',0)
  redis.call('ZADD',K..'jobs',now,id)
end
redis.call('SADD',K..'live',id)
redis.call('HSET',key,'state','running','tok',tok,'attempt',a,'owner',ARGV[3],'machine',ARGV[4],'hb',1,'started',now,'entry','')
return {'ok',h[6] or ''}
