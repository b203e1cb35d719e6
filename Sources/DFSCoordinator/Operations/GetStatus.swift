import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func getStatus(_ request: WireGetStatusRequest) async throws -> WireGetStatusResponse {
    let counts = namespace.counts
    var response = WireGetStatusResponse()
    response.cluster = namespace.cluster.rawValue
    response.version = configuration.version
    response.epoch = WireEpoch(namespace.epoch)
    response.revision = namespace.revision.rawValue
    response.uptimeMs = UInt64(max(0, (now() - startedAt).milliseconds))
    response.files = counts.files
    response.directories = counts.directories
    response.chunks = counts.chunks
    response.fileBytes = UInt64(max(0, counts.bytes.rawValue))
    response.condemned = counts.condemned
    response.openUploads = counts.openUploads
    response.trashEntries = counts.trash
    response.held = namespace.isHeld
    response.replicas = UInt32(configuration.policy.replicas)
    response.chunkSize = UInt32(configuration.chunkSize.bytes)
    let (health, replicas) = (cluster.health(), Int(configuration.policy.replicas))
    response.nodesUp = UInt32(health.up)
    response.nodesDown = UInt32(health.down)
    response.nodesOut = UInt32(health.out)
    response.capacityBytes = UInt64(health.space.capacity.rawValue)
    response.freeBytes = UInt64(health.space.free.rawValue)
    response.usableBytes = UInt64(health.space.usable(replicas: replicas).rawValue)
    response.storedBytes = UInt64(health.space.stored.rawValue)
    response.singleDisk = health.space.isSingleDisk
    response.groups = UInt32(health.groups.groups)
    response.groupsDegraded = UInt32(health.groups.degraded)
    response.groupsUnreadable = UInt32(health.groups.unreadable)
    response.groupsUnwritable = UInt32(health.groups.unwritable)
    response.chunksAtRisk = health.chunksAtRisk
    response.badReplicas = health.badReplicas
    response.warnings = health.warnings(policy: configuration.policy)
    response.metadataCopies = copies.copies.map { WireMetadataCopy($0) }
    response.warnings += copies.warnings(
      wanted: configuration.metadataCopies, nodes: cluster.withState { $0.membership.present.count })
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
