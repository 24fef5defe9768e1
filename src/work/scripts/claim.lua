-- ARGV: consumer machine nonce retry lane...
local consumer,machine,nonce=ARGV[1],ARGV[2],ARGV[3]
-- The answer to a claim may have been lost: the same nonce gets the same job, which stands among what it holds.
if ARGV[4]=='1' then
  for i=5,#ARGV do
    local held=redis.pcall('XPENDING',ARGV[i],G,'-','+',1000,consumer)
    for _,one in ipairs(held) do
      local found=redis.call('XRANGE',ARGV[i],one[1],one[1])
      local id=found[1] and job_of(found[1][2])
      if id then
        local h=redis.pcall('HMGET',job_key(id),'state','tok','record','spec','lane','cancel','fails','losses')
        if h[1]=='running' and string.match(h[2] or '','%-(.*)$')==nonce then
          return {'run',id,h[2],h[3],h[4],h[5],h[6] or '',h[7] or '0',h[8] or '0',now}
        end
      end
    end
  end
end
-- All that keeps jobs back is rare: it is asked for at once, and told apart only when there is something.
local hinted=false
if redis.call('EXISTS','darkmux:paused','darkmux:drained','darkmux:hinted')>0 then
  if redis.call('SISMEMBER','darkmux:drained',machine)==1 then return {'drained'} end
  if redis.call('EXISTS','darkmux:paused')==1 then return {'paused'} end
  hinted=redis.call('EXISTS','darkmux:hinted')==1
end
local wait=0
for i=5,#ARGV do
  local lane=ARGV[i]
  local tries=0
  while tries<16 do
    tries=tries+1
    if hinted then
      -- The first entry that the group has not delivered may still be another machine's.
      local later=false
      for _,g in ipairs(redis.pcall('XINFO','GROUPS',lane)) do
        if type(g)=='table' and g[2]==G then
          local next=redis.call('XRANGE',lane,'('..g[8],'+','COUNT',1)
          if #next>0 then
            local id=job_of(next[1][2])
            if id then
              local h=redis.pcall('HMGET',job_key(id),'hint','hint_until','queued')
              -- However the clock was set, nobody waits longer than five seconds.
              local queued=tonumber(h[3] or 0) or 0
              local at=tonumber(now)
              local till=queued<=at and math.min(tonumber(h[2] or 0) or 0,queued+5000) or 0
              if h[1] and not string.find(h[1],','..machine..',',1,true) and till>at then
                later=true
                local left=till-at
                if wait==0 or left<wait then wait=left end
              end
            end
          end
        end
      end
      if later then break end
    end
    local r=redis.pcall('XREADGROUP','GROUP',G,consumer,'COUNT',1,'STREAMS',lane,'>')
    if r and r.err then
      if not string.find(r.err,'NOGROUP') then return redis.error_reply(r.err) end
      ensure(lane)
      r=redis.call('XREADGROUP','GROUP',G,consumer,'COUNT',1,'STREAMS',lane,'>')
    end
    if not r then break end
    local entry,fields=r[1][2][1][1],r[1][2][1][2]
    local id=job_of(fields)
    if not id then return {'foreign',lane,entry,fields} end
    local key=job_key(id)
    local h=redis.pcall('HMGET',key,'state','entry','lane','attempt','record','spec','cancel','fails','losses')
    -- Also what stands where its job should may be none.
    if h.err or not h[1] then return {'foreign',lane,entry,fields} end
    -- Two streams may have entries of one id.
    if h[1]=='queued' and h[2]==entry and h[3]==lane then
      local attempt=tostring((h[4] or 0)+1)
      local tok=attempt..'-'..nonce
      redis.call('HSET',key,'state','running','attempt',attempt,'tok',tok,'owner',consumer,'machine',machine,'hb','0','started',now)
      return {'run',id,tok,h[5],h[6],lane,h[7] or '',h[8] or '0',h[9] or '0',now}
    end
    drop(lane,entry)
  end
  -- What was not looked at rings no bell: it is asked for again at once.
  if tries==16 then wait=1 end
end
-- Where to listen from: what comes later has a greater id.
local marks={'none',wait}
for i=5,#ARGV do
  local x=redis.pcall('XINFO','STREAM',ARGV[i])
  marks[#marks+1]='0-0'
  for n=1,#x,2 do if x[n]=='last-generated-id' then marks[#marks]=x[n+1] end end
end
return marks
