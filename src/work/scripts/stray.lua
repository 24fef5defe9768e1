-- Entries of a lane that some runner took and nothing came of, because it died or never got the answer, and that no
-- job's hash speaks for: those of 1.9 and garbage. They are delivered again. ARGV: lane stray_ms gone_ms
local lane,from,again=ARGV[1],'-',0
for _=1,50 do
  local pending=redis.pcall('XPENDING',lane,G,'IDLE',ARGV[2],from,'+',100)
  if pending.err or #pending==0 then break end
  for _,one in ipairs(pending) do
    local entry=one[1]
    from='('..entry
    -- A runner of 1.9 works on what is pending under its name.
    if string.find(one[2],':',1,true) then
      local found=redis.call('XRANGE',lane,entry,entry)
      local fields=found[1] and found[1][2]
      local id=fields and job_of(fields)
      -- What stands where its job should may be none: no hash speaks for the entry then.
      local h=id and redis.pcall('HMGET',job_key(id),'state','entry') or {}
      if not fields or (h[1] and (h[2]~=entry or TERMINAL[h[1]])) then
        drop(lane,entry)
      elseif not h[1] then
        drop(lane,entry)
        if #fields<=100 then
          redis.call('XADD',lane,'*',unpack(fields))
          again=again+1
        else
          redis.call('XADD','darkmux:dead','MAXLEN','~','10000','*','entry',entry,'why','it has too many fields')
        end
      end
    end
  end
end
-- Each start of a daemon makes a consumer.
local consumers=redis.pcall('XINFO','CONSUMERS',lane,G)
for _,c in ipairs(consumers.err and {} or consumers) do
  if string.find(c[2],':',1,true) and c[4]==0 and c[6]>tonumber(ARGV[3]) then
    redis.call('XGROUP','DELCONSUMER',lane,G,c[2])
  end
end
return {'ok',tostring(again)}
