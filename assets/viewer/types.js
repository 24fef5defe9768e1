/**
 * The shapes that the modules of the viewer hand to each other. What comes from outside is unknown on purpose: any field may be missing or of another type.
 *
 * @module
 */

/** @typedef {{[key: string]: unknown}} RawRecord A flow record as it came off the wire. */

/**
 * @typedef {object} Incoming A record on its way into the store.
 * @property {unknown} raw
 * @property {number} [size] Characters of its JSON, where they were counted.
 * @property {string} [position] `<day>:<12-digit offset>` after the record; absent in an array of a day.
 */

/**
 * @typedef {object} Entry A record in the store, with the fields that views and filters read, as text.
 * @property {string} key Identity; the same record delivered twice has the same key.
 * @property {RawRecord} raw
 * @property {number} size Characters of its JSON.
 * @property {number} at Milliseconds since the epoch; NaN when the record has no readable time.
 * @property {string} level
 * @property {string} category
 * @property {string} action In its canonical spelling, see `canonicalAction`.
 * @property {string} handle
 * @property {string} role Of a dispatch; empty for other records.
 * @property {string} tier Who did it: operator, frontier or local.
 * @property {string} machine
 * @property {string} session
 * @property {string} haystack What a search looks in; empty until one does.
 */

/**
 * @typedef {object} Matches What was found, in the order of the log.
 * @property {number} total
 * @property {boolean} complete Whether all records were looked at.
 * @property {(n: number, most?: number) => Entry[]} newest So many of the newest, oldest first; of these the first `most`.
 */

/** @typedef {'fleet' | 'flow' | 'queue' | 'sessions' | 'inbox' | 'session' | 'job' | 'machine'} Page */
/** @typedef {{page: Page, id: string, day: string}} Route `day` is empty where the page is live. */

/** @typedef {'list' | 'lanes' | 'raw'} Lens How the flow is shown. */

/**
 * @typedef {object} Place What an address says.
 * @property {Route} route
 * @property {Filters} filters
 * @property {Lens} lens
 * @property {number} at Seconds into a job's output; NaN for its end.
 * @property {string[]} tiles Sessions side by side.
 * @property {string} record The key of the record that a link points to.
 */

/**
 * @typedef {object} Filters Empty text means "any"; all of them must match.
 * @property {string} q Words that must all occur in the record.
 * @property {string} level The lowest level shown.
 * @property {string} category
 * @property {string} machine
 * @property {string} role
 * @property {string} session
 * @property {string} action
 */

/**
 * @typedef {object} Session
 * @property {string} id
 * @property {string} role
 * @property {string} name
 * @property {string} state starting, running, exited or lost; anything else is shown as it is.
 * @property {string} machine
 * @property {number} created Milliseconds, NaN when unknown; as are the next two.
 * @property {number} started
 * @property {number} ended
 * @property {number | null} exitCode
 * @property {string} signal
 * @property {string} reason
 * @property {string} cwd
 * @property {string} command
 * @property {string} title What it calls itself, or else its name; empty where only its state is known, as are all of the next.
 * @property {string} what What it calls itself beside its name, where that is not its title.
 * @property {string} kind The adapter that knows its program.
 * @property {string} label What it says it is doing.
 * @property {boolean} working
 * @property {boolean} failing
 * @property {string} needsYou What it waits for a person to say.
 * @property {boolean} unread
 * @property {{text: string, at: number}} notice What its program wants a person to see, while nobody has looked.
 * @property {boolean} resumable
 * @property {number} disconnected Since when its machine does not answer; NaN while it does.
 * @property {number} runs How often its program has been started.
 * @property {number} cols 0 when unknown; as is the next.
 * @property {number} rows
 */

/** @typedef {{id: string, label: string, about: string}} Launcher Something that can be started here. */

/**
 * @typedef {object} Peer A machine whose sessions are shown here by a link of its own.
 * @property {string} name
 * @property {string} url
 * @property {string} status connected, or how else the link is.
 * @property {number} since Milliseconds.
 * @property {string} problem
 * @property {string} version
 * @property {string} origin
 * @property {Launcher[]} launchers
 * @property {number} sessions
 */

/** @typedef {'unknown' | 'none' | 'watch' | 'act'} Access What the daemon lets this page do with terminals. */
/** @typedef {'terminal' | 'records'} SessionView What is shown of the session in view. */

/**
 * @typedef {object} Toast Something that happened, shown for a while.
 * @property {string} key
 * @property {'note' | 'warning'} tone
 * @property {string} text
 * @property {number} at
 */

/**
 * @typedef {object} Day A day that has records.
 * @property {string} date
 * @property {number} records
 * @property {number} dispatches
 * @property {number} bad Lines that could not be read.
 * @property {boolean} fleet The fleet's flow has records of that day; those of other machines are not counted.
 */

/**
 * @typedef {object} Machine
 * @property {string} id
 * @property {string} version
 * @property {string} flowSchema
 * @property {string} os
 * @property {string} cpu
 * @property {number} ramTotal Bytes, NaN when unknown; as is the next.
 * @property {number} ramFree
 * @property {string[]} models
 * @property {boolean} modelsUnreachable
 * @property {string | null} redis Empty where it works alone; null while that is not known.
 */

/**
 * @typedef {object} FleetMachine A machine that is alive in the fleet.
 * @property {string} uid
 * @property {string} name
 * @property {string} version Empty for darkmux 1.9.
 * @property {string} system
 * @property {number} slots NaN when unknown; as are the next four.
 * @property {number} busy
 * @property {number} ramFree Bytes.
 * @property {number} age Milliseconds since its last sign of life.
 * @property {number} skew Milliseconds that its clock is ahead.
 * @property {'idle' | 'busy' | 'draining' | 'no runner' | ''} state
 * @property {string[]} models
 * @property {string[]} roles
 * @property {boolean} gone It was alive once, and shows no sign of life now.
 * @property {string} origin presence or both; anything else is shown as it is.
 * @property {string} clash Why its name does not mean one machine.
 */

/**
 * @typedef {object} Attempt
 * @property {number} number
 * @property {string} machine
 * @property {number} started Milliseconds; as is the next.
 * @property {number} ended
 * @property {string} how
 */

/** @typedef {{machine: string, verdict: string, reasons: string[]}} Judgement Whether a machine can run a job. */

/** @typedef {{at: number, attempt: number, offset: number, bytes: Uint8Array}} Piece A piece of a job's output, and when it came. */

/**
 * @typedef {object} JobDetail What only a page of its own shows of a job.
 * @property {string} id
 * @property {'loading' | 'there' | 'gone' | 'failed'} state
 * @property {Job | null} job
 * @property {string} why In one line why it is where it is.
 * @property {Judgement[]} machines
 */

/**
 * @typedef {object} Job A job of the queue.
 * @property {string} id
 * @property {string} state queued, waiting, running, done, failed, cancelled or dead; anything else is shown as it is.
 * @property {string} role
 * @property {string} name
 * @property {string} machine
 * @property {number} queued Milliseconds since the epoch, NaN when unknown; as are the next three.
 * @property {number} started
 * @property {number} finished
 * @property {number} due
 * @property {number} offeredAgain When those that gave it back are asked again; as above.
 * @property {number | null} exitCode
 * @property {number} attempt
 * @property {Attempt[]} attempts
 * @property {string} priority
 * @property {string} pin
 * @property {string[]} require
 * @property {string} publishedBy
 * @property {string} why Why it ended as it did.
 * @property {string} cancel Why it is to be cancelled, or was.
 * @property {string} parked Why no machine can run it now.
 * @property {string} workdir
 * @property {number} outputBytes Of its output, of which the newest part is kept; NaN while it runs.
 * @property {[string, string][]} declined Machines that gave it back, and why.
 * @property {import('./wire.js').AgentResult | null} agent What the built-in agent came to; null for any other program.
 * @property {boolean} came Whether it changed something in the repository that it was dispatched from.
 */

/**
 * @typedef {object} Queue
 * @property {boolean} paused
 * @property {string[]} drained
 * @property {number} queued
 * @property {number} waiting
 * @property {number} running
 * @property {number} now The clock of Redis, by which all times of jobs are; milliseconds since the epoch.
 * @property {number} oldest Milliseconds that the oldest job waits; NaN when none does.
 * @property {{machine: string, ids: string[]}[]} holds Running jobs by machine.
 * @property {number} dead
 * @property {{entry: string, job: string, why: string}[]} letters
 */

/** @typedef {import('./mode.js').Mode} Mode */
/**
 * @typedef {object} Playback Where a replay is; times in milliseconds since the epoch.
 * @property {number} from
 * @property {number} to
 * @property {number} at
 * @property {number} rate
 * @property {boolean} playing
 * @property {string} chapter What happens there, where the recording says it.
 * @property {{at: number, text: string}[]} chapters
 */

/**
 * @typedef {object} Found A machine that was found, and is no peer.
 * @property {string} name
 * @property {string} url
 * @property {string} place Its name in the tailnet, or the folder of its container.
 * @property {boolean} off
 * @property {string} todo What lets this machine in there.
 */

/** @typedef {'connecting' | 'live' | 'reconnecting' | 'no daemon' | 'replay'} Source */

/**
 * @typedef {object} State
 * @property {Mode} mode
 * @property {Source} source
 * @property {Playback | null} playback Null while live, and before the replay is loaded.
 * @property {boolean} loaded Whether a first set of records has arrived.
 * @property {string} problem Why there are no records, when the daemon answered with a failure.
 * @property {Entry[]} records In the order of the log, oldest first.
 * @property {import('./keyset.js').KeySet} keys The keys of `records`.
 * @property {number} chars Size of `records` in characters of JSON.
 * @property {string} position The position after the newest streamed record, or of the loaded array.
 * @property {number} dropped Older records that were put out of memory.
 * @property {boolean} partial Whether the day has older records than were loaded.
 * @property {'all' | 'newest' | 'none'} others Which records of other machines are among them.
 * @property {number} unreadable Events that were no record.
 * @property {Filters} filters
 * @property {Matches} matches Which of `records` match `filters`, as far as they were looked at.
 * @property {Session[]} sessions Newest first.
 * @property {'' | 'some' | 'all'} sessionsLoaded `all`: those that the events keep, with what they ask.
 * @property {Access} access
 * @property {SessionView} view
 * @property {Place} place Where one is.
 * @property {JobDetail | null} jobDetail The job in view.
 * @property {number} since When the source came to be what it is, by the clock of the page.
 * @property {number} missed Records that left the log before this page had read them.
 * @property {Launcher[]} launchers
 * @property {Peer[]} peers
 * @property {Found[]} found
 * @property {Toast[]} toasts Oldest first.
 * @property {Toast[]} toastLog What toasts have said, newest first, bounded.
 * @property {Day[]} days Newest first.
 * @property {Machine | null} machine
 * @property {FleetMachine[]} fleet In the order of their names.
 * @property {number} fleetAt When `fleet` was loaded, by the clock of the page.
 * @property {Queue | null} queue Null on a machine without Redis.
 * @property {number} queueAt When `queue` was loaded, by the clock of the page.
 * @property {Job[]} jobs Newest first.
 * @property {string} queueProblem Why it is not known how the queue is; the rest is then the last that was known.
 * @property {string} fleetProblem Why it is not known who is alive; the list is then the last that was known.
 * @property {boolean} follow Whether the timeline stays at the newest record.
 * @property {number} unseen Matching records that arrived while not following.
 * @property {ReadonlySet<string>} expanded Keys of the records shown in whole.
 * @property {number} cap How many of the newest matching records are rendered.
 * @property {number} now Milliseconds; what ages and durations are measured to.
 */

export {};
