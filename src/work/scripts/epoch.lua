-- A mark that is gone with the data; everybody is told of a new one. ARGV: mark
local mark=redis.call('GET',K..'epoch')
if not mark then
  mark=ARGV[1]
  redis.call('SET',K..'epoch',mark)
  hint('life',mark)
end
return {mark}
