# English. A new language is one more file of this kind, named by its tag (BCP 47). Months of the Hijri calendar: Unicode CLDR 48.2,
# main/en/ca-islamic.json.
language-name = English
direction = ltr
digits = 0123456789
group-separator = ,
date = { $day } { $month } { $year }
instant = { $day }, { $time } UTC
hijri-date = { $date } AH
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December
hijri-month-1 = Muharram
hijri-month-2 = Safar
hijri-month-3 = Rabiʻ I
hijri-month-4 = Rabiʻ II
hijri-month-5 = Jumada I
hijri-month-6 = Jumada II
hijri-month-7 = Rajab
hijri-month-8 = Shaʻban
hijri-month-9 = Ramadan
hijri-month-10 = Shawwal
hijri-month-11 = Dhuʻl-Qiʻdah
hijri-month-12 = Dhuʻl-Hijjah

# Around every page
skip = Skip to the content
pages = Pages
recorded = Every look at messages, logs, partners and reads is recorded in the house log: who, when, what and why.
back-to-overview = Back to the overview
nav-overview = Overview
nav-messages = Messages
nav-ledger = Logs
nav-partners = Partners
nav-schemas = Message types
nav-purposes = Purposes
nav-reads = Who read what
role-operator = operator
role-auditor = auditor
role-data-protection = data-protection officer
role-backend = back end

# Words of many pages
yes = yes
no = no
any = any
time = Time
type = Type
record = Record
from = From
to = To
partner = Partner
verdict = Verdict
number = Number
entry = Entry
entries = Entries
log = Log
root = Root
purpose = Purpose
reason = Reason
what = What
who = Who
older = Older
newer = Newer
direction-label = Direction
direction-received = received
direction-sent = sent
agreed-receive = from them to us
agreed-send = from us to them
messages = { $count ->
    [one] { $number } message
   *[other] { $number } messages
}
days = { $count ->
    [one] { $number } day
   *[other] { $number } days
}
times = { $count ->
    [one] once
   *[other] { $number } times
}
entries-number = { $count ->
    [one] { $number } entry
   *[other] { $number } entries
}
hashes = { $count ->
    [one] { $number } hash
   *[other] { $number } hashes
}

# Overview
attention = What needs attention
attention-none = Nothing needs attention.
attention-missing = No messages are taken: { $value }
attention-alarms = Two histories of a log contradict each other: { $value }
attention-reconciled = Partners whose log tells otherwise than ours: { $value }
attention-dead = Messages that were given up: { $value }
attention-waiting = Partners that messages have waited for over ten minutes: { $value }
attention-handover = Back ends that messages have waited for over ten minutes: { $value }
attention-certificates = Certificates that end within thirty days: { $value }
traffic = Traffic of the last fourteen days
traffic-none = No message was judged in these days.
chart-table = The same as a table
day = Day
refused-or-ended = refused, or ended without a verdict
refusals = Why messages were refused
how-many = How many
queues = What waits
queues-empty = Nothing waits.
queue-for = For
waiting = Waiting
oldest = Oldest since
witnesses = How far our logs are witnessed
witness = Witness
cosigned = Cosigned
no-partners = There is no partner yet.
reconciled = Reconciliation with partners’ logs
reconciled-not-yet = Not yet.
reconciled-what = The last reports of each partner, as the house log states them. The command silkgate reconcile names each message that differs.
reconciliation = Result
reconciled-agree = both sides agree
reconciled-agree-span = both sides agree on messages of a certain time
reconciled-differ = THE TWO SIDES DIFFER
reconciled-unstated = the log does not say
before-this-start = counted before this gateway was started
by = By
by-the-gateway = the gateway
report-digest = Digest of the report (SHA-256)
both-agree = Both agree
differences = Differences
certificates = Certificates
certificate = Certificate
certificate-tls = connections with partners
certificate-tls-ca = authority of these connections
certificate-message = signing of messages
certificate-national = national plane
certificate-national-ca = authority of the national plane
certificate-client = client
holder = Holder
begins = Begins
ends = Ends
left = Left

# Messages
search-for = Message id, record, plate, VIN, document or container
search = Search
from-day = From day (UTC)
to-day = To day (UTC)
export = All that was found, as a file:
evidence-of-all = Evidence of all that was found
evidence-all-what = One file, at most 2,000 messages and 64 MiB, that two programs judge anywhere. It comes once it is whole and was judged. It holds what the messages say, so whoever takes it states why; both are recorded.
nothing-found = No message is like that.
making = How far the file is
look-again = Look again
making-none = No file is being made for you.
making-under-way = It is being made.
making-whole = It is whole.
making-given-up = It was not finished.
making-found = { $count ->
    [one] One message belongs in it so far.
   *[other] { $number } messages belong in it so far.
}
making-entries = { $done } of { $of } entries of a log were read.
making-messages = { $done } of { $of } messages are in it.
making-in-it = { $count ->
    [one] One message is in it.
   *[other] { $number } messages are in it.
}
making-back-to = It reaches back to { $value }.
searched-back-to = Searched back to { $value }.
verdict-accepted = accepted
verdict-rejected = refused
verdict-waiting = waiting
verdict-undelivered = without a verdict
state-accepted = accepted
state-rejected = refused
state-queued = waiting to be sent
state-receipted = accepted, receipt held
state-expired = expired before any attempt
state-unknown = expired, outcome unknown
state-returned = returned
state-dead = given up
state-dropped = given up and put away
type-alert-vehicle = Wanted vehicle
type-alert-person = Wanted or missing person
type-alert-document = Lost or stolen document
type-hit-notice = Hit on an alert
type-query-request = Question
type-query-response = Answer
type-control-result = Result of a control
type-crossing-status = Status of a crossing
type-incident-notice = Incident
type-manifest-cargo = Cargo manifest
type-manifest-passenger = Passenger list
type-risk-notice = Risk notice
type-transit-movement = Transit movement

# One message
message = Message
same-id = Several messages have this id, which is unique for each sender only:
signed-at = Signed
logged-at = Logged
expires-at = Valid until
digest = Digest (SHA-256)
signing-certificate = Signing certificate (SHA-256)
kept-until = Content kept until
erased-at = The content was erased on { $value }, by the rule
content = Content
content-closed = The content is closed. Whoever opens it states why; both are recorded.
content-erased = The content was erased. The log still proves that the message was exchanged, and what became of it.
content-not-kept = The content is not kept.
unreadable = The content cannot be read:
reason-unfit = Please give a reason of 3 to 200 characters.
open-content = Open the content
cut = More stands in the message itself.
checks = Checks
passed = passed
failed = FAILED
check-signature = Signature
check-envelope = Envelope
check-not-seen-before = Not seen before
check-certificate-and-times = Certificate and times
check-parties-and-agreement = Parties and agreement
check-schema-and-rules = Schema and rules
check-lifecycle = Order of the record
violations = Where it was wrong
where = Where
rule = Rule
proof = Proof
proof-what = The log holds the entry below. From its hash, with the hashes beside it, anybody can compute the root that the checkpoint states; who signed the checkpoint can no longer deny it.
of-entries = of { $value }
signed-by = Checkpoint signed by
leaf = entry
prove = Verify in this browser
prove-good = verified
prove-bad = WRONG
prove-skip = not verified here
prove-message = The sender’s signature on the message
prove-digest = The message is the one that the entry names
prove-path = The entry’s hash leads to the root
prove-checkpoint = Our log’s signature on the checkpoint with this root
prove-cosignature = The partner’s cosignature on the same checkpoint
prove-all = Everything that could be verified here was verified.
prove-not = Something is WRONG. Do not rely on this message.
evidence = Evidence
evidence-what = One file with the message, its proofs, the states’ cards, schema and rules. Two programs that were written independently judge it anywhere, without this gateway. It holds what the message says, so whoever takes it states why; both are recorded.
take-evidence = Take the evidence (ZIP)
life = Life of the record
attempts = Attempts to send
outcome = Outcome
deliveries = Hand-overs
handed-out = Handed out
acknowledged = Acknowledged
not-yet = not yet

# Logs
ledger-what = Each log only grows. Its checkpoints are signed by this gateway and cosigned by the neighbours, who would notice if anything were changed or taken away.
growth = Entries of the last fourteen days:
new-entries = New entries
entries-in-all = In all
house-log = House log: administration, reads, refused strangers
channel-with = Channel with { $value }
checkpoints = Checkpoints
cosigned-by = Cosigned by { $value }
time-stamped = Time-stamped
alarm = ALARM: two histories of the log { $value } contradict each other.
newest-checkpoint = Newest checkpoint
newest-checkpoints = Newest checkpoints, by their entries:
older-checkpoint = Older checkpoint
newer-checkpoint = Newer checkpoint
compare = Compare
consistent = The newer checkpoint holds everything that the older one held, in the same order.
inconsistent = The newer checkpoint does NOT go on where the older one ended, or one of them is not there.
kind = Kind
about = About
kind-sent = sent
kind-received = received
kind-rejected = refused
kind-receipted = receipt came back
kind-expired = expired
kind-dead = given up
kind-delivered = handed over
kind-erased = erased
kind-admin = administration
kind-summary = refusals, summed up

# Partners and purposes
state-label = State
authority = Authority
standing = Standing
partner-active = active
partner-suspended = suspended
partner-removed = removed
fingerprint = Fingerprint of the card
card = Card
version-of = version { $value }
host = Gateway
endpoints = Addresses
authorities = Authorities
log-keys = Log keys
witness-key = Witness key
agreement = Agreement
agreement-with = Agreement with { $value }
agreement-text = The agreement’s own text
versions = Versions
statuses = For
purposes-label = Purposes
handling-codes = Handling codes
purposes-what = What data of each type may be used for, as agreed with each partner. A message with another purpose is refused.
uses = What messages are for
uses-what = Accepted messages by the purpose that they state, among the newest { $value } messages.
legal-bases = Legal bases
legal-bases-types = A legal basis has to be stated by messages of the type:
legal-bases-what = It is a part of their content, so the newest thousand are opened to count it, for a reason; both are recorded.
legal-bases-opened = Opened: { $value }.
legal-bases-closed = Without a content that is kept: { $value }.
legal-basis = Legal basis
count-legal-bases = Count the legal bases
kept-days = { $count ->
    [one] Content is kept for one day at most, unless a type has less.
   *[other] Content is kept for { $number } days at most, unless a type has less.
}
value-test = test
value-exercise = exercise
value-actual = actual use
value-border-management = border management
value-law-enforcement = law enforcement
value-customs = customs
value-new = new
value-update = update
value-cancel = cancelled
value-car = car
value-stolen = stolen
value-stop-and-report = stop and report
value-seize = seize
value-arrest = arrest
value-armed = armed
value-violent = violent

# Who read what
reads-what = Reads on the national plane and on these pages, the newest first. The house log holds a digest of each.
act-read-overview = overview
act-read-messages = search for messages
act-read-message = message
act-read-content = content of a message
act-read-evidence = evidence, with contents
act-read-ledger = logs
act-read-entries = entries of a log
act-read-checkpoint = checkpoint
act-read-events = event stream
act-read-partners = partners
act-read-purposes = purposes
act-read-legal-bases = legal bases of questions
act-read-reads = who read what

# Message types
check-a-message = Check a message
check-what = Judged as the gateway judges it, by schema and rules. Nothing is sent and nothing is kept. An event, its data alone, or a signed message.
message-text = Message (JSON)
check = Check
findings = What was found
conforms = It conforms.
does-not-conform = It does not conform.
severity = Severity
error = error
warning = warning
line-and-column = Line and column
version = Version
members = Members of the data
member = Member
required = Required
meaning = Meaning
rules = Rules
example = Example
examples = { $count ->
    [one] { $number } example
   *[other] { $number } examples
}
counter-examples = { $count ->
    [one] { $number } counter-example
   *[other] { $number } counter-examples
}

# Problems
problem-session-missing = This browser has no session here. Ask for a link with “silkgate open”.
problem-link-used = This link was opened already, or has run out. Ask for a new one with “silkgate open”.
problem-role-forbidden = Your role may not see this page.
problem-reason-missing = Please state a reason of 3 to 200 characters. Nothing was opened.
problem-not-found = There is nothing at this address.
problem-query-invalid = The address asks for something that this page does not take.
problem-reads-exceeded = More pages a minute than one certificate may look at. Please wait a minute.
problem-unavailable = The gateway cannot answer at present.
problem-overloaded = The gateway has as much as it can take. Please try again.
problem-request-foreign = The request was made by another site.
