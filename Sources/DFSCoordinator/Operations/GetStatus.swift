import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func getStatus(_ request: WireGetStatusRequest) async throws -> WireGetStatusResponse {
    let (time, counts, health) = (now(), namespace.counts, cluster.health())
    var response = WireGetStatusResponse()
    response.cluster = namespace.cluster.rawValue
    response.version = configuration.version
    response.epoch = WireEpoch(namespace.epoch)
    response.revision = namespace.revision.rawValue
    response.uptimeMs = UInt64(max(0, (time - startedAt).milliseconds))
    response.held = namespace.isHeld
    let check = cluster.withState { $0.checks.last }
    if let check { response.tell(check, now: time) }
    response.replicas = UInt32(configuration.policy.replicas)
    response.chunkSize = UInt32(configuration.chunkSize.bytes)
    response.tell(counts)
    response.tell(health, replicas: Int(configuration.policy.replicas))
    let meanChunk = UInt64(max(0, counts.bytes.rawValue)) / max(1, counts.chunks)
    let repair = cluster.repairStatus(meanChunk: meanChunk, now: time)
    response.tell(repair)
    var advice = StatusAdvice(
      policy: configuration.policy, health: health, isHeld: namespace.isHeld, pausedJobs: pausedJobs)
    cluster.withState { advice.take($0, now: time) }
    response.actions = advice.actions
    response.warnings = advice.warnings
    response.metadataCopies = copies.copies.map { WireMetadataCopy($0) }
    response.warnings += copies.warnings(wanted: configuration.metadataCopies, nodes: health.count)
    return response
  }
}

extension WireMetadataCopy {
  init(_ copy: CopyBoard.Copy) {
    self.init()
    node = copy.node.rawValue
    round = copy.mark?.round ?? 0
    lagRounds = copy.lagRounds
    lagMs = UInt64(copy.lag.milliseconds)
    complete = copy.isComplete
  }
}

extension WireGetStatusResponse {
  fileprivate mutating func tell(_ check: CheckResult, now: ContinuousClock.Instant) {
    checkEndedMs = UInt64(max(0, (now - check.endedAt).milliseconds))
    checkNumber = check.number
    checkMissingChunks = check.missing
    checkMissingNamed = check.missingNamed.map { "\($0.chunk) of group \($0.group)" }
    checkLackedCopies = check.lackedCopies
    checkOrphans = check.orphans
    checkStrays = check.strays
    checkSkippedGroups = UInt32(clamping: check.skippedGroups)
  }

  fileprivate mutating func tell(_ counts: NamespaceCounts) {
    files = counts.files
    directories = counts.directories
    chunks = counts.chunks
    fileBytes = UInt64(max(0, counts.bytes.rawValue))
    condemned = counts.condemned
    openUploads = counts.openUploads
    trashEntries = counts.trash
  }

  fileprivate mutating func tell(_ health: ClusterHealth, replicas: Int) {
    nodesUp = UInt32(health.up)
    nodesDown = UInt32(health.down)
    nodesOut = UInt32(health.out)
    nodesDraining = UInt32(health.draining.count)
    nodesMaintenance = UInt32(health.maintenance.count)
    nodesSuspect = UInt32(health.suspects.count)
    capacityBytes = UInt64(health.space.capacity.rawValue)
    freeBytes = UInt64(health.space.free.rawValue)
    usableBytes = UInt64(health.space.usable(replicas: replicas).rawValue)
    storedBytes = UInt64(health.space.stored.rawValue)
    singleDisk = health.space.isSingleDisk
    groups = UInt32(health.groups.groups)
    groupsDegraded = UInt32(health.groups.degraded)
    groupsUnreadable = UInt32(health.groups.unreadable)
    groupsUnwritable = UInt32(health.groups.unwritable)
    chunksAtRisk = health.chunksAtRisk
    chunksUnreadable = health.chunksUnreadable
    chunksOnOneCopy = health.chunksOnOneCopy
    chunksOnTwoCopies = health.chunksOnTwoCopies
    badReplicas = health.badReplicas
    if let oldest = health.oldestScrub { scrubOldestMs = UInt64(max(0, oldest.milliseconds)) }
    if let scrubbed = health.scrubbed { scrubPermille = UInt32(scrubbed.permille) }
  }

  fileprivate mutating func tell(_ repair: RepairStatus) {
    repairGroups = UInt32(clamping: repair.groups)
    repairChunksLeft = repair.chunksLeft
    repairBytesLeft = repair.bytesLeft
    repairBytesPerSecond = repair.bytesPerSecond
    if let left = repair.timeLeft { repairEtaMs = UInt64(max(0, left.milliseconds)) }
    repairedChunks = repair.repairedChunks
    repairedBytes = repair.repairedBytes
  }
}
