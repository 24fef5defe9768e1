-- The end of one attempt and the claim of the next job, in one step. ARGV: the seven of finish, then those of claim
return {finish(ARGV),claim({unpack(ARGV,8)})}
