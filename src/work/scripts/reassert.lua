-- A result that the server forgot is told again.
-- ARGV: id tok state result ttl_s spec record lane lane_json idem idem_ttl_ms machine ran_ms
local id,tok=ARGV[1],ARGV[2]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','entry','attempt','lane','since')
local a=tonumber(string.match(tok,'^(%d+)'))
if TERMINAL[h[1]] then return {'already',h[1]} end
if (h[1]=='running' and h[2]~=tok) or (h[1] and (tonumber(h[4] or 0)>a or tonumber(h[6] or 0)>=a)) then return {'fenced'} end
-- It was told before and another try follows.
if h[1] and h[1]~='running' and h[2]==tok then return {'already',h[1]} end
drop(h[5],h[3])
if not h[1] then
  redis.call('HSET',key,'id',id,'lane',ARGV[8],'lanedoc',ARGV[9],'created',now,'record',ARGV[7],'spec',ARGV[6],'losses',0,'fails',0)
  redis.call('ZADD','darkmux:jobs',now,id)
  remember_key(id,ARGV[10],ARGV[11])
end
redis.call('HSET',key,'tok',tok,'result',ARGV[4],'attempt',a)
-- It goes back with the claim: as long ago as the attempt ran.
if h[1]~='running' then redis.call('HSET',key,'machine',ARGV[12],'started',string.format('%.0f',now-ARGV[13])) end
tried(key,ARGV[3])
close(key,id,ARGV[3],ARGV[5])
return {'reasserted',h[1] or 'nohash'}
