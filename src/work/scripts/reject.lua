-- An entry that is no job goes to the dead letters with its bytes. Any claimer may, once.
-- ARGV: lane entry why raw
local lane,entry=ARGV[1],ARGV[2]
if redis.call('XACK',lane,G,entry)==0 then return {'gone'} end
redis.call('XDEL',lane,entry)
redis.call('XADD','darkmux:dead','MAXLEN','~','10000','*','entry',entry,'why',ARGV[3],'raw',ARGV[4])
return {'ok'}
