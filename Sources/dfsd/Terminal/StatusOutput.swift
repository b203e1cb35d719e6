import DFSClient
import DFSCore

/// What `status --json` prints: everything that is known, flat where it can be.
struct StatusOutput: Encodable {
  struct Repair: Encodable {
    var groups: Int
    var chunksLeft: UInt64
    var bytesLeft: Int64
    var bytesPerSecond: Int64
    var secondsLeft: Int64?
    var repairedChunks: UInt64
    var repairedBytes: Int64
  }
  struct Scrub: Encodable {
    var secondsSinceOldestPass: Int64?
    var part: Double
  }
  struct MetadataCopy: Encodable {
    var node: String
    var round: UInt64
    var lagRounds: UInt64
    var lagMs: Int64
    var complete: Bool
  }

  var safety: String
  var cluster: String
  var version: String
  var epoch: String
  var revision: UInt64
  var uptimeSeconds: Int64
  var nodesUp: Int
  var nodesDown: Int
  var nodesOut: Int
  var nodesDraining: Int
  var nodesMaintenance: Int
  var nodesSuspect: Int
  var capacityBytes: Int64
  var freeBytes: Int64
  var usableBytes: Int64
  var storedBytes: Int64
  var files: UInt64
  var directories: UInt64
  var chunks: UInt64
  var fileBytes: Int64
  var groups: Int
  var groupsDegraded: Int
  var groupsUnreadable: Int
  var groupsUnwritable: Int
  var chunksAtRisk: UInt64
  var chunksUnreadable: UInt64
  var chunksOnOneCopy: UInt64
  var chunksOnTwoCopies: UInt64
  var badReplicas: UInt64
  var repair: Repair
  var scrub: Scrub
  var check: CheckOutput?
  var metadataCopies: [MetadataCopy]
  var held: Bool
  var trashEntries: UInt64
  var condemned: UInt64
  var openUploads: UInt64
  var replicas: Int
  var chunkSize: Int?
  var singleDisk: Bool
  var actions: [String]
  var warnings: [String]
  var nodes: [NodeOutput]

  init(_ status: ClusterStatus, _ nodes: [NodeStatus]) {
    safety = status.safety.rawValue
    cluster = status.cluster.description
    version = status.version
    epoch = status.epoch.description
    revision = status.revision.rawValue
    uptimeSeconds = status.uptime.components.seconds
    nodesUp = status.nodesUp
    nodesDown = status.nodesDown
    nodesOut = status.nodesOut
    nodesDraining = status.nodesDraining
    nodesMaintenance = status.nodesMaintenance
    nodesSuspect = status.nodesSuspect
    capacityBytes = status.capacity.rawValue
    freeBytes = status.free.rawValue
    usableBytes = status.usable.rawValue
    storedBytes = status.stored.rawValue
    files = status.files
    directories = status.directories
    chunks = status.chunks
    fileBytes = status.fileBytes.rawValue
    groups = status.groups
    groupsDegraded = status.groupsDegraded
    groupsUnreadable = status.groupsUnreadable
    groupsUnwritable = status.groupsUnwritable
    chunksAtRisk = status.chunksAtRisk
    chunksUnreadable = status.chunksUnreadable
    chunksOnOneCopy = status.chunksOnOneCopy
    chunksOnTwoCopies = status.chunksOnTwoCopies
    badReplicas = status.badReplicas
    repair = Repair(status.repair)
    scrub = Scrub(
      secondsSinceOldestPass: status.scrub.sinceOldestPass?.components.seconds, part: status.scrub.part)
    check = status.check.map { CheckOutput($0) }
    metadataCopies = status.metadataCopies.map {
      MetadataCopy(
        node: $0.node.description, round: $0.round, lagRounds: $0.lagRounds, lagMs: $0.lag.wholeMilliseconds,
        complete: $0.isComplete)
    }
    held = status.isHeld
    trashEntries = status.trashEntries
    condemned = status.condemned
    openUploads = status.openUploads
    replicas = status.replicas
    chunkSize = status.chunkSize?.bytes
    singleDisk = status.isSingleDisk
    actions = status.actions
    warnings = status.warnings
    self.nodes = nodes.map { NodeOutput($0) }
  }
}

extension StatusOutput.Repair {
  fileprivate init(_ repair: ClusterStatus.Repair) {
    groups = repair.groups
    chunksLeft = repair.chunksLeft
    bytesLeft = repair.bytesLeft.rawValue
    bytesPerSecond = repair.bytesPerSecond.rawValue
    secondsLeft = repair.timeLeft?.components.seconds
    repairedChunks = repair.repairedChunks
    repairedBytes = repair.repairedBytes.rawValue
  }
}

/// A completed check of all chunks.
struct CheckOutput: Encodable {
  var number: UInt64
  var secondsSinceEnd: Int64
  var missingChunks: UInt64
  var missing: [String]
  var lackedCopies: UInt64
  var orphans: UInt64
  var strays: UInt64
  var skippedGroups: Int

  init(_ check: ClusterStatus.Check) {
    number = check.number
    secondsSinceEnd = check.sinceEnd.components.seconds
    missingChunks = check.missingChunks
    missing = check.missingNamed
    lackedCopies = check.lackedCopies
    orphans = check.orphans
    strays = check.strays
    skippedGroups = check.skippedGroups
  }
}

struct NodeOutput: Encodable {
  var id: String
  var address: String
  var zone: String
  var state: String
  var capacityBytes: Int64
  var freeBytes: Int64
  var storedBytes: Int64
  var chunks: UInt64
  var slots: Int
  var writable: Bool
  var reason: String?
  var lastContactMs: Int64
  var version: String
  var quarantined: UInt64
  var secondsSinceScrub: Int64?
  var scrubPart: Double
  var suspect: Bool
  var drainChunksLeft: UInt64?

  init(_ node: NodeStatus) {
    id = node.id.description
    address = node.address
    zone = node.zone
    state = node.state.rawValue
    capacityBytes = node.capacity.rawValue
    freeBytes = node.free.rawValue
    storedBytes = node.stored.rawValue
    chunks = node.chunks
    slots = node.slots
    writable = node.isWritable
    reason = node.reason.isEmpty ? nil : node.reason
    lastContactMs = node.lastContact.wholeMilliseconds
    version = node.version
    quarantined = node.quarantined
    secondsSinceScrub = node.sinceScrub?.components.seconds
    scrubPart = node.scrubPart
    suspect = node.isSuspect
    drainChunksLeft = node.state == .draining ? node.drainChunksLeft : nil
  }
}

/// A background job.
struct JobOutput: Encodable {
  var name: String
  var what: String
  var node: String
  var working: Bool
  var paused: Bool
  var steps: UInt64
  var failures: UInt64
  var lastError: String?
  var done: UInt64?
  var total: UInt64?
  var unit: String?
  var rate: Double
  var secondsLeft: Int64?
  var pacePercent: Int
  var msSinceLastStep: Int64?

  init(_ job: JobStatus) {
    name = job.name
    what = job.what
    node = job.node?.description ?? "coordinator"
    working = job.isWorking
    paused = job.isPaused
    steps = job.steps
    failures = job.failures
    lastError = job.lastError
    done = job.progress?.done
    total = job.progress?.total
    unit = job.progress?.unit
    // A program must be able to read it, whatever a node sent.
    rate = job.rate.isFinite ? job.rate : 0
    secondsLeft = job.timeLeft?.components.seconds
    pacePercent = job.pacePercent
    msSinceLastStep = job.sinceLastStep?.wholeMilliseconds
  }
}

extension Duration {
  fileprivate var wholeMilliseconds: Int64 { Int64(self / .milliseconds(1)) }
}
