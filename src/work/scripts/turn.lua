-- The end of one attempt and the claim of the next job, in one step. ARGV: the seven of finish, then those of claim
local next={}
for i=8,#ARGV do next[i-7]=ARGV[i] end
return {finish(ARGV),claim(next)}
