-- A mark that is gone with the data; everybody is told of a new one. ARGV: mark
local mark=redis.call('GET','darkmux:epoch')
if not mark then
  mark=ARGV[1]
  redis.call('SET','darkmux:epoch',mark)
  hint('life',mark)
end
return {mark}
