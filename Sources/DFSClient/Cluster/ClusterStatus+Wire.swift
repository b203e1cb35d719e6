import DFSCore
import DFSWire

extension ClusterStatus {
  init(_ wire: WireGetStatusResponse) throws {
    self.init(
      cluster: ClusterID(rawValue: wire.cluster), version: wire.version, epoch: try Epoch(wire.epoch),
      revision: Revision(rawValue: wire.revision), uptime: Duration(wireMilliseconds: wire.uptimeMs),
      nodesUp: Int(wire.nodesUp), nodesDown: Int(wire.nodesDown), nodesOut: Int(wire.nodesOut),
      capacity: ByteCount(clamping: wire.capacityBytes), free: ByteCount(clamping: wire.freeBytes),
      usable: ByteCount(clamping: wire.usableBytes), stored: ByteCount(clamping: wire.storedBytes),
      files: wire.files,
      directories: wire.directories, chunks: wire.chunks, fileBytes: ByteCount(clamping: wire.fileBytes),
      groups: Int(wire.groups), groupsDegraded: Int(wire.groupsDegraded),
      groupsUnreadable: Int(wire.groupsUnreadable), groupsUnwritable: Int(wire.groupsUnwritable),
      chunksAtRisk: wire.chunksAtRisk, badReplicas: wire.badReplicas, condemned: wire.condemned,
      openUploads: wire.openUploads, replicas: Int(wire.replicas),
      chunkSize: ChunkSize(bytes: Int(wire.chunkSize)),
      isSingleDisk: wire.singleDisk, warnings: wire.warnings)
    nodesDraining = Int(wire.nodesDraining)
    nodesMaintenance = Int(wire.nodesMaintenance)
    nodesSuspect = Int(wire.nodesSuspect)
    chunksUnreadable = wire.chunksUnreadable
    chunksOnOneCopy = wire.chunksOnOneCopy
    chunksOnTwoCopies = wire.chunksOnTwoCopies
    repair = Repair(wire)
    scrub = Scrub(
      sinceOldestPass: wire.hasScrubOldestMs ? Duration(wireMilliseconds: wire.scrubOldestMs) : nil,
      part: Double(wire.scrubPermille) / 1000)
    trashEntries = wire.trashEntries
    metadataCopies = wire.metadataCopies.map {
      MetadataCopy(
        node: NodeID(rawValue: $0.node), round: $0.round, lagRounds: $0.lagRounds,
        lag: Duration(wireMilliseconds: $0.lagMs), isComplete: $0.complete)
    }
    isHeld = wire.held
    if wire.hasCheckEndedMs {
      check = Check(
        number: wire.checkNumber, sinceEnd: Duration(wireMilliseconds: wire.checkEndedMs),
        missingChunks: wire.checkMissingChunks, missingNamed: wire.checkMissingNamed,
        lackedCopies: wire.checkLackedCopies, orphans: wire.checkOrphans, strays: wire.checkStrays,
        skippedGroups: Int(wire.checkSkippedGroups))
    }
    actions = wire.actions
  }
}

extension ClusterStatus.Repair {
  fileprivate init(_ wire: WireGetStatusResponse) {
    self.init(
      groups: Int(wire.repairGroups), chunksLeft: wire.repairChunksLeft,
      bytesLeft: ByteCount(clamping: wire.repairBytesLeft),
      bytesPerSecond: ByteCount(clamping: wire.repairBytesPerSecond),
      timeLeft: wire.hasRepairEtaMs ? Duration(wireMilliseconds: wire.repairEtaMs) : nil,
      repairedChunks: wire.repairedChunks, repairedBytes: ByteCount(clamping: wire.repairedBytes))
  }
}

extension NodeStatus {
  init(_ wire: WireNode) {
    let state: State =
      switch wire.state {
      case .up: .up
      case .down: .down
      case .out: .out
      case .draining: .draining
      case .maintenance: .maintenance
      case .removed: .removed
      case .unspecified, .UNRECOGNIZED: .unknown
      }
    self.init(
      id: NodeID(rawValue: wire.address.node), address: wire.address.address, zone: wire.address.zone,
      state: state,
      capacity: ByteCount(clamping: wire.capacityBytes), free: ByteCount(clamping: wire.freeBytes),
      stored: ByteCount(clamping: wire.storedBytes), chunks: wire.chunks, slots: Int(wire.slots),
      isWritable: wire.writable, reason: wire.reason,
      lastContact: Duration(wireMilliseconds: wire.lastContactMs), version: wire.version)
    quarantined = wire.quarantined
    sinceScrub = wire.hasScrubEndedMs ? Duration(wireMilliseconds: wire.scrubEndedMs) : nil
    scrubPart = Double(wire.scrubPermille) / 1000
    isSuspect = wire.suspect
    drainChunksLeft = wire.drainSlotsLeft
  }
}

extension Duration {
  fileprivate init(wireMilliseconds: UInt64) { self = .milliseconds(Int64(clamping: wireMilliseconds)) }
}
