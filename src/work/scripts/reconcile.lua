-- ARGV: id seen_tok seen_hb max_losses backoff_ms ttl_s stray_ms deep
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','hb','cancel','entry','lane','due','losses','legacy','lanedoc')
local st,e,lane=h[1],h[5],h[6]
if not st then redis.call('SREM','darkmux:live',id); return {'forgotten'} end
if TERMINAL[st] then redis.call('SREM','darkmux:live',id); return {'terminal'} end
if st=='waiting' then
  local left=tonumber(h[7])-now
  if left>0 then return {'wait',string.format('%.0f',left)} end
  requeue(key,id,lane,e)
  return {'promoted'}
end
if st=='queued' then
  if ARGV[8]~='1' then return {'ok'} end
  ensure(lane)
  register(lane,h[10])
  local p=redis.call('XPENDING',lane,G,e,e,1)
  if #p>0 then
    -- Runners of ours take an entry and start its job in one step; whoever else holds it is a 1.9 runner, or a stray.
    if not string.find(p[1][2],':',1,true) then
      redis.call('HSET',key,'legacy',p[1][2])
      return {'legacy',p[1][2],p[1][3]}
    end
    if p[1][3]>=tonumber(ARGV[7]) then requeue(key,id,lane,e); return {'redelivered'} end
    return {'ok'}
  end
  if #redis.call('XRANGE',lane,e,e)==0 then
    if h[9] then return {'legacy-acked',h[9]} end
    requeue(key,id,lane,e)
    return {'restored'}
  end
  for _,g in ipairs(redis.call('XINFO','GROUPS',lane)) do
    if g[2]==G then
      local a,b=string.match(g[8],'(%d+)-(%d+)')
      local c,d=string.match(e,'(%d+)-(%d+)')
      if tonumber(c)<tonumber(a) or (c==a and tonumber(d)<=tonumber(b)) then
        -- Delivered and acknowledged, and none of ours did that.
        local by=h[9]
        for _,c in ipairs(redis.call('XINFO','CONSUMERS',lane,G)) do
          if not string.find(c[2],':',1,true) and tonumber(c[6])<3600000 then by=by or c[2] end
        end
        if by then return {'legacy-acked',by} end
        requeue(key,id,lane,e)
        return {'restored'}
      end
    end
  end
  return {'ok'}
end
if h[2]~=ARGV[2] or h[3]~=ARGV[3] then return {'alive'} end
return {lose(key,id,h,tonumber(ARGV[4]),tonumber(ARGV[5]),ARGV[6])}
