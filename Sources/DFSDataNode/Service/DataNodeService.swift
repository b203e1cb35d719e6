import DFSChunkStore
import DFSCore
import DFSJobs
import DFSObservability
import DFSRPC
import DFSTransport
import DFSWire
import Logging
import Metrics
import NIOConcurrencyHelpers

/// The calls of `dfs.v1.DataNodeService` over one chunk store; a file per call says what it does.
///
/// Every call of the store blocks and therefore runs on `disk`.
final class DataNodeService: Sendable {
  let identity: StoreIdentity
  let store: any ChunkStore
  let disk: BlockingThreads
  let membership: Membership
  let transfers: TransferBoard
  let peers: PeerChannels
  /// What readers may have in memory, together: see `readChunk`.
  let readMemory: MemoryBudget
  let patience: TransferState.Patience
  let pacer: Pacer
  let copySlots: CopySlots
  let clock: NodeClock
  let logger: Logger

  let receivedBytes = Counter(label: MetricNames.datanodeReceivedBytes)
  let sentBytes = Counter(label: MetricNames.datanodeSentBytes)
  let corruptChunks = Counter(label: MetricNames.datanodeCorruptChunksTotal)
  let copiedBytes = Counter(label: MetricNames.datanodeCopiedBytes)
  let copiedChunks = Counter(label: MetricNames.datanodeCopiedChunksTotal)
  let failedCopies = Counter(label: MetricNames.datanodeFailedCopiesTotal)
  let syncTime = Timer(label: MetricNames.datanodeSyncSeconds)

  init(
    identity: StoreIdentity, store: any ChunkStore, disk: BlockingThreads, membership: Membership,
    transfers: TransferBoard, peers: PeerChannels, readMemory: MemoryBudget, patience: TransferState.Patience,
    pacer: Pacer,
    copySlots: CopySlots, clock: NodeClock, logger: Logger
  ) {
    self.identity = identity
    self.store = store
    self.disk = disk
    self.membership = membership
    self.transfers = transfers
    self.peers = peers
    self.readMemory = readMemory
    self.patience = patience
    self.pacer = pacer
    self.copySlots = copySlots
    self.clock = clock
    self.logger = logger
  }

  func register(on router: inout RPCRouter, with jobs: JobRunner) {
    router.handle(DataNodeMethods.writeChunk) { try await self.writeChunk($0, $1, $2) }
    router.handle(DataNodeMethods.readChunk) { try await self.readChunk($0, $1, $2) }
    router.handle(DataNodeMethods.statChunk) { request, _ in try await self.statChunk(request) }
    router.handle(DataNodeMethods.listChunks) { request, _ in try await self.listChunks(request) }
    router.handle(DataNodeMethods.reapChunks) { request, _ in try await self.reapChunks(request) }
    router.handle(DataNodeMethods.copyChunks) { try await self.copyChunks($0, $1, $2) }
    router.handle(DataNodeMethods.listGroups) { request, _ in try await self.listGroups(request) }
    router.handle(DataNodeMethods.listNodeJobs) { request, _ in try self.listNodeJobs(request, of: jobs) }
    router.handle(DataNodeMethods.controlNodeJob) { request, _ in
      try self.controlNodeJob(request, of: jobs)
    }
  }

  /// A caller that means another node has an old address: it must not take this one's answer for that one's.
  func checkAddressee(_ node: UInt64) throws {
    guard node == identity.node.rawValue else {
      throw DFSError(
        .stale,
        "this is node \(identity.node), not \(NodeID(rawValue: node)); ask the coordinator for its address",
        metadata: ["node": identity.node.description])
    }
  }

  /// Moves a replica that failed its hashes aside and reports it with the next heartbeat: in this order, for repair lists
  /// what is here. It is looked at once more, so that a good copy that came meanwhile stays; false then. It is reported
  /// though it could not be moved: the coordinator remembers what is bad, and the caller's answer is `.corrupt` in any
  /// case.
  @discardableResult
  func quarantine(_ chunk: ChunkID, in group: GroupID, because error: DFSError) async -> Bool {
    do {
      guard try await disk.run({ [store] in try store.quarantineUnlessSound(chunk, in: group) }) else {
        logger.warning(
          "a replica that failed its check is sound, or gone, at the second look",
          metadata: ["chunk": "\(chunk)", "group": "\(group)", "reason": "\(error)"])
        return false
      }
    } catch let failure {
      let isHidden = await isHidden(chunk, in: group)
      logger.error(
        isHidden
          ? "a bad replica could not be moved aside; it is not listed and not read from"
          : "a bad replica could not be looked at again; it is where it was",
        metadata: ["chunk": "\(chunk)", "group": "\(group)", "reason": "\(failure)"])
    }
    noteBad(chunk, in: group, because: error)
    return true
  }

  /// Whether the store takes what it has under the id for bad.
  private func isHidden(_ chunk: ChunkID, in group: GroupID) async -> Bool {
    do { _ = try await disk.run { [store] in try store.stat(chunk, in: group) } } catch let error as DFSError
    {
      return error.code == .corrupt
    } catch {}
    return false
  }

  /// Reports a bad replica. What became of it is said elsewhere, where it is not in quarantine.
  func noteBad(_ chunk: ChunkID, in group: GroupID, because error: DFSError) {
    corruptChunks.increment()
    membership.report(chunk, in: group)
    logger.error(
      "a replica is bad", metadata: ["chunk": "\(chunk)", "group": "\(group)", "reason": "\(error)"])
  }
}
