-- Its holder knows that the attempt was lost: nobody waits for its lease. ARGV: id tok max_losses backoff_ms ttl_s
local key=job_key(ARGV[1])
local h=redis.call('HMGET',key,'state','tok','hb','cancel','entry','lane','attempt','since')
if not h[1] or forgot(h[1],h[7],h[8],ARGV[2]) then return {'unknown'} end
if h[1]~='running' or h[2]~=ARGV[2] then return {'fenced',h[1]} end
return {lose(key,ARGV[1],h,tonumber(ARGV[3]),tonumber(ARGV[4]),ARGV[5])}
