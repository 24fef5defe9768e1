-- A mark that is gone with the data. ARGV: mark
local mark=redis.call('GET',K..'epoch')
if not mark then
  mark=ARGV[1]
  redis.call('SET',K..'epoch',mark)
end
return {mark}
