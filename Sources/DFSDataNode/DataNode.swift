import DFSChunkStore
import DFSCore
import DFSCrypto
import DFSJobs
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging

/// The parts of one running datanode, put together.
struct DataNode: Sendable {
  let address: Endpoint
  let directory: DataDirectory
  let service: DataNodeService
  let link: CoordinatorLink
  let scrub: ScrubJob
  let jobs: JobRunner
  let server: RPCServer
  let coordinator: RPCChannel
  let health: HealthService
  let endless: StopGate
  let logger: Logger

  static func open(
    _ configuration: DataNodeServer.Configuration, _ loops: NetworkLoops, _ clock: NodeClock,
    _ fileSystem: any FileSystem, _ logger: Logger
  ) async throws -> DataNode {
    // Before the directory is made: a mistyped port must not leave a node without a process behind.
    try await RPCServer.check([configuration.listen], loops: loops)
    let disk = BlockingThreads(count: configuration.diskThreads, name: "dfs-disk")
    let (directory, store) = try await disk.run {
      let directory = try DataDirectory(path: configuration.directory, fileSystem: fileSystem)
      return (directory, try LocalChunkStore(in: directory, options: configuration.storeOptions))
    }
    var logger = logger
    logger[metadataKey: "node"] = "\(directory.identity.node)"
    tell(of: store.openReport, logger)
    let service = makeService(configuration, directory, store, disk, loops, clock, logger)
    for place in store.openReport.damaged {
      service.noteBad(
        place.chunk, in: place.group, because: DFSError(.corrupt, "its file was cut short"))
    }
    tellAgain(of: store.openReport.missing, by: service.membership, logger)
    let scrub = try await makeScrub(configuration, directory, service)
    let space = SpaceJob(store: store, disk: disk, clock: clock)
    // The first heartbeat tells of a measured disk.
    _ = try await space.step()
    let health = HealthService()
    var router = RPCRouter()
    let jobs = JobRunner(
      jobs: [
        space, scrub, CheckFilesJob(service), CompactionJob(store: store, disk: disk, logger: logger),
        RevisionJob(membership: service.membership, disk: disk),
      ], clock: clock.forJobs, logger: logger)
    service.register(on: &router, with: jobs)
    let copies = MetadataCopyStore(directory: directory.path, fileSystem: fileSystem) {
      try store.space().available
    }
    let endless = StopGate()
    MetadataCopyService(
      node: directory.identity.node, membership: service.membership, copies: copies, disk: disk,
      stop: endless, logger: logger
    ).register(on: &router)
    health.register(in: &router)
    try router.addReflection(of: [ProtocolDescriptors.fileDescriptorSet])
    health.set(.serving)
    health.set(.serving, for: DataNodeMethods.service)
    var listening = RPCServer.Configuration(listen: [configuration.listen])
    listening.security = configuration.serverSecurity
    let server = RPCServer(router: router, configuration: listening, loops: loops, logger: logger)
    guard let bound = try await server.start().first else {
      throw DFSError(.internal, "the server bound no address")
    }
    var address = configuration.advertise ?? bound
    if address.port == 0 { address.port = bound.port }
    let coordinator = configuration.channel(to: configuration.coordinators, loops, logger)
    let introduction = CoordinatorLink.Introduction(
      node: directory.identity.node, store: directory.identity.store,
      boot: BootID(rawValue: try SecureRandom.identity()), address: address, zone: configuration.zone,
      version: configuration.version, disk: diskIdentity(of: configuration.directory))
    let link = CoordinatorLink(
      introduction: introduction, channel: coordinator, membership: service.membership, space: space,
      scrub: scrub, disk: disk, interval: configuration.heartbeatInterval, clock: clock, logger: logger)
    logger.info("serving", metadata: ["address": "\(address)", "store": "\(directory.identity.store)"])
    return DataNode(
      address: address, directory: directory, service: service, link: link, scrub: scrub, jobs: jobs,
      server: server, coordinator: coordinator, health: health, endless: endless, logger: logger)
  }

  private static func makeService(
    _ configuration: DataNodeServer.Configuration, _ directory: DataDirectory, _ store: any ChunkStore,
    _ disk: BlockingThreads, _ loops: NetworkLoops, _ clock: NodeClock, _ logger: Logger
  ) -> DataNodeService {
    var limits = TransferBoard.Limits()
    limits.transfers = configuration.maxTransfers
    limits.frames = configuration.transferBudget
    var patience = TransferState.Patience()
    patience.silence = configuration.stragglerTimeout
    patience.lastResort = configuration.stragglerTimeout * 2
    var pace = BackgroundPace.Limits()
    pace.rate = configuration.repairRate
    return DataNodeService(
      identity: directory.identity, store: store, disk: disk, membership: Membership(directory),
      transfers: TransferBoard(limits: limits, clock: clock, logger: logger),
      peers: PeerChannels {
        configuration.channel(to: [$0], loops, logger, longestBackoff: .milliseconds(250))
      },
      readMemory: MemoryBudget(min(.mib(32), ByteCount(configuration.transferBudget.int / 2))),
      patience: patience, pacer: Pacer(pace, clock: clock),
      // Half of the threads stay free for clients whatever repair does.
      copySlots: CopySlots(configuration.diskThreads / 2), clock: clock, logger: logger)
  }

  private static func tell(of report: OpenReport, _ logger: Logger) {
    guard let reason = report.reason else { return }
    logger.error(
      "chunks of this node were lost as a whole; they must come from peers again",
      metadata: ["reason": "\(reason)", "moved_to": "\(report.setAside ?? "nowhere")"])
  }

  /// A node that stopped between moving a replica aside and its next heartbeat told nobody.
  private static func tellAgain(of missing: [ChunkPlace], by membership: Membership, _ logger: Logger) {
    guard !missing.isEmpty else { return }
    for place in missing { membership.report(place.chunk, in: place.group, .missing) }
    logger.warning(
      "bad replicas lie in quarantine without a copy in their place; telling the coordinator",
      metadata: ["chunks": "\(missing.count)"])
  }

  private static func makeScrub(
    _ configuration: DataNodeServer.Configuration, _ directory: DataDirectory, _ service: DataNodeService
  ) async throws -> ScrubJob {
    let record = try await service.disk.run { try directory.scrubRecord() }
    return ScrubJob(service, directory, record: record, period: configuration.scrubPeriod) {
      Int64(Date().timeIntervalSince1970 * 1000)
    }
  }

  /// Tells whether two datanodes share a disk: the machine's boot and the device of the directory.
  private static func diskIdentity(of directory: String) -> String {
    let boot = (try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)) ?? ""
    var status = stat()
    let device = stat(directory, &status) == 0 ? String(status.st_dev) : "unknown"
    return boot.trimmingCharacters(in: .whitespacesAndNewlines) + "/" + device
  }

  /// The node's own work, until cancelled.
  func work() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [link] in try? await link.run() }
      group.addTask { [service] in try? await service.transfers.run() }
      group.addTask { [jobs] in await jobs.run() }
    }
  }

  /// Takes no new writes, tells the coordinator, lets running calls finish.
  func retire(grace: Duration) async {
    logger.info("stopping", metadata: ["transfers": "\(service.transfers.count)"])
    health.setAllNotServing()
    service.transfers.close()
    if grace > .zero { await link.announceStop(within: .seconds(1)) }
    endless.close()
    await server.drain(grace: grace)
  }

  func close() async {
    await service.peers.close()
    await coordinator.close()
    let (service, scrub, directory) = (service, scrub, directory)
    // Not through `run`, which a cancelled task may not use.
    await Task {
      try? await service.disk.run {
        try? service.membership.saveRevision()
        try? scrub.save()
        service.store.close()
        directory.close()
      }
    }.value
    service.disk.shutdown()
    logger.info("stopped")
  }
}

extension DataNodeServer.Configuration {
  fileprivate var storeOptions: LocalChunkStoreOptions {
    var options = LocalChunkStoreOptions(cacheSize: cache)
    options.reserve = reserve
    options.smallChunkLimit = smallChunkLimit
    return options
  }

  /// A member of a transfer that is back must not be left behind for a pause of ours: peers get short ones.
  fileprivate func channel(
    to endpoints: [Endpoint], _ loops: NetworkLoops, _ logger: Logger, longestBackoff: Duration = .seconds(2)
  ) -> RPCChannel {
    var calling = RPCChannel.Configuration()
    calling.longestBackoff = longestBackoff
    calling.security = clientSecurity
    return RPCChannel(endpoints: endpoints, configuration: calling, loops: loops, logger: logger)
  }
}
