-- ARGV: id tok
local key=job_key(ARGV[1])
local h=redis.call('HMGET',key,'state','tok','cancel','attempt','since')
if not h[1] or forgot(h[1],h[4],h[5],ARGV[2]) then return {'unknown'} end
if h[1]~='running' or h[2]~=ARGV[2] then return {'lost',h[1]} end
redis.call('HINCRBY',key,'hb',1)
return {'ok',h[3] or ''}
