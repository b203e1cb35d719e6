import DFSCore
package import DFSJobs
import DFSKeyValue
package import DFSMetadata
package import DFSRPC
package import DFSTransport
import DFSWire
package import Logging
import Synchronization

/// The methods of `dfs.v1.CoordinatorService` over the namespace and the cluster; one file for each
/// operation.
///
/// What comes from outside is checked in the operation before anything is done with it. Reads run on threads
/// that may block, at one revision each; mutations wait for their round.
package final class CoordinatorService: Sendable {
  let namespace: Namespace
  let cluster: Cluster
  let groups: GroupKeeper
  let registrar: NodeRegistrar
  let reports: ReplicaReports
  let copies: CopyBoard
  let disk: BlockingThreads
  let configuration: CoordinatorConfiguration
  let logger: Logger
  let now: @Sendable () -> ContinuousClock.Instant
  let startedAt: ContinuousClock.Instant
  let isDraining = Atomic(false)
  private let jobs = Mutex<JobRunner?>(nil)

  /// `cluster` holds what the namespace has of nodes and groups.
  package init(
    namespace: Namespace, cluster: Cluster, disk: BlockingThreads, configuration: CoordinatorConfiguration,
    logger: Logger, now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now },
    clock: any Clock<Duration> = ContinuousClock()
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.disk = disk
    self.configuration = configuration
    self.logger = logger
    self.now = now
    let startedAt = now()
    self.startedAt = startedAt
    groups = GroupKeeper(
      namespace: namespace, cluster: cluster, disk: disk, configuration: configuration,
      age: { now() - startedAt }, clock: clock, logger: logger)
    registrar = NodeRegistrar(namespace: namespace, cluster: cluster, logger: logger)
    reports = ReplicaReports()
    copies = CopyBoard(namespace: namespace)
  }

  /// Ends each heartbeat stream with its next answer, so that a drain need not wait for them.
  package func endHeartbeats() { isDraining.store(true, ordering: .relaxed) }

  /// Tells whose jobs the status speaks of; they are made after the service that they use.
  package func attach(_ jobs: JobRunner) { self.jobs.withLock { $0 = jobs } }

  var pausedJobs: [String] {
    jobs.withLock { $0 }?.status.filter(\.isPaused).map(\.name) ?? []
  }

  /// Offers every method.
  package func register(in router: inout RPCRouter) {
    router.handle(CoordinatorMethods.beginUpload) { request, _ in try await self.beginUpload(request) }
    router.handle(CoordinatorMethods.allocateChunks) { request, _ in try await self.allocateChunks(request) }
    router.handle(CoordinatorMethods.sealSegment) { request, _ in try await self.sealSegment(request) }
    router.handle(CoordinatorMethods.renewUpload) { request, _ in try await self.renewUpload(request) }
    router.handle(CoordinatorMethods.commitUpload) { request, _ in try await self.commitUpload(request) }
    router.handle(CoordinatorMethods.abortUpload) { request, _ in try await self.abortUpload(request) }
    router.handle(CoordinatorMethods.resumeUpload) { request, _ in try await self.resumeUpload(request) }
    router.handle(CoordinatorMethods.putInline) { request, _ in try await self.putInline(request) }

    router.handle(CoordinatorMethods.stat) { request, _ in try await self.stat(request) }
    router.handle(CoordinatorMethods.lookup) { request, _ in try await self.lookup(request) }
    router.handle(CoordinatorMethods.getManifest) { request, _ in try await self.getManifest(request) }
    router.handle(CoordinatorMethods.list) { request, _ in try await self.list(request) }
    router.handle(CoordinatorMethods.diskUsage) { request, _ in try await self.diskUsage(request) }
    router.handle(CoordinatorMethods.pinVersion) { request, _ in try await self.pinVersion(request) }

    router.handle(CoordinatorMethods.makeDirectory) { request, _ in try await self.makeDirectory(request) }
    router.handle(CoordinatorMethods.rename) { request, _ in try await self.rename(request) }
    router.handle(CoordinatorMethods.remove) { request, _ in try await self.remove(request) }
    router.handle(CoordinatorMethods.setAttributes) { request, _ in try await self.setAttributes(request) }

    router.handle(CoordinatorMethods.listTrash) { request, _ in try await self.listTrash(request) }
    router.handle(CoordinatorMethods.undelete) { request, _ in try await self.undelete(request) }
    router.handle(CoordinatorMethods.purgeTrash) { request, _ in try await self.purgeTrash(request) }

    router.handle(CoordinatorMethods.getGroups) { request, _ in try await self.getGroups(request) }
    router.handle(CoordinatorMethods.reportReplicas) { request, context in
      try self.reportReplicas(request, from: context.peer)
    }
    router.handle(CoordinatorMethods.getStatus) { request, _ in try await self.getStatus(request) }
    router.handle(CoordinatorMethods.releaseHold) { request, _ in try await self.releaseHold(request) }
    router.handle(CoordinatorMethods.listNodes) { request, _ in try self.listNodes(request) }
    router.handle(CoordinatorMethods.changeNode) { request, _ in try await self.changeNode(request) }
    router.handle(CoordinatorMethods.canStop) { request, _ in try self.canStop(request) }
    router.handle(CoordinatorMethods.registerNode) { request, _ in try await self.registerNode(request) }
    router.handle(CoordinatorMethods.heartbeat) { reader, writer, _ in
      try await self.heartbeat(reader, writer)
    }
  }

  /// How much a read asks for, and so where it is done.
  enum ReadAmount {
    /// So little that the loop may do it, where it all lies in memory, as what was written or read a moment ago does:
    /// saves two hops between threads. Otherwise `body` is called a second time, on a thread that may block.
    case few
    case many
  }

  /// Reads at one revision.
  func read<Result: Sendable>(
    _ amount: ReadAmount = .many, _ body: @escaping @Sendable (NamespaceView) throws -> Result
  ) async throws -> Result {
    if amount == .few {
      do { return try body(namespace.view(.memory)) } catch is NotInMemory {}
    }
    let namespace = namespace
    return try await disk.run { try body(namespace.view()) }
  }
}
