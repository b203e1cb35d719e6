import DFSCore
import DFSJobs
import DFSRPC
import DFSTransport
import DFSWire
import NIOConcurrencyHelpers
import Testing

@testable import DFSCoordinator

/// Datanodes that have one job each, on one port.
private final class NodesWithJobs: Sendable {
  struct Order: Sendable, Hashable {
    var node: UInt64
    var name: String
    var action: WireJobAction
    var percent: UInt32
  }
  private let orders = NIOLockedValueBox<[Order]>([])
  private let refusing: UInt64?

  init(refusing: UInt64? = nil) { self.refusing = refusing }

  var seen: [Order] { orders.withLockedValue { $0 }.sorted { $0.node < $1.node } }

  private func answer(_ node: UInt64) -> WireListNodeJobsResponse {
    var job = WireJobStatus()
    job.name = "scrub"
    job.what = "verifies"
    job.unit = "chunks"
    (job.done, job.total, job.rate, job.pacePercent) = (250, 1000, 5, 100)
    // A node that speaks of another one is not believed.
    job.node = 999
    var response = WireListNodeJobsResponse()
    response.jobs = [job]
    return response
  }

  func serve(_ body: (_ address: String) async throws -> Void) async throws {
    var router = RPCRouter()
    router.handle(DataNodeMethods.listNodeJobs) { request, _ in
      if request.node == self.refusing { throw DFSError(.unavailable, "refused as asked") }
      return self.answer(request.node)
    }
    router.handle(DataNodeMethods.controlNodeJob) { request, _ in
      if request.node == self.refusing { throw DFSError(.failedPrecondition, "it is paused") }
      guard request.name == "scrub" else { throw DFSError(.notFound, "no such job here") }
      self.orders.withLockedValue {
        $0.append(
          Order(node: request.node, name: request.name, action: request.action, percent: request.pacePercent))
      }
      return self.answer(request.node)
    }
    let loops = NetworkLoops(count: 1)
    let server = RPCServer(
      router: router, configuration: RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)]),
      loops: loops, logger: CoordinatorScene.silence)
    let endpoints = try await server.start()
    let result: Result<Void, any Error>
    do { result = .success(try await body(endpoints[0].description)) } catch { result = .failure(error) }
    await server.drain(grace: .zero)
    await loops.shutdown()
    try result.get()
  }
}

extension CoordinatorScene {
  fileprivate func jobs(_ node: UInt64? = nil) async throws -> WireListJobsResponse {
    var request = WireListJobsRequest()
    if let node { request.node = node }
    return try await call(CoordinatorMethods.listJobs, request)
  }

  fileprivate func control(
    _ name: String, _ action: WireJobAction, percent: UInt32 = 0, node: UInt64? = nil
  ) async throws -> WireControlJobResponse {
    var request = WireControlJobRequest()
    request.name = name
    request.action = action
    request.pacePercent = percent
    if let node { request.node = node }
    return try await call(CoordinatorMethods.controlJob, request)
  }
}

@Suite(.timeLimit(.minutes(1)))
struct ClusterJobTests {
  @Test func `all jobs are listed, the coordinator's first, and silent nodes are named`() async throws {
    try await NodesWithJobs(refusing: 2).serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        scene.time.pass(.seconds(11))
        for node in nodes.dropLast() { try await node.beat(at: scene) }
        _ = try await scene.watch.step()
        let list = try await scene.jobs()
        #expect(list.silentNodes == [2, 3], "one does not answer, one is down")
        let own = list.jobs.filter { $0.node == 0 }
        #expect(list.jobs.prefix(own.count).allSatisfy { $0.node == 0 })
        #expect(own.allSatisfy { !$0.what.isEmpty && $0.pacePercent == 100 && !$0.hasLastStepMs })
        #expect(own.map(\.name).contains("watch_nodes"))
        #expect(list.jobs.filter { $0.name == "scrub" }.map(\.node) == [1])
        #expect(try await scene.jobs(0).jobs.map(\.name) == own.map(\.name))
        #expect(try await scene.jobs(1).jobs.map(\.rate) == [5])
        for node in [2, 3, 4] as [UInt64] {
          await #expect(throws: DFSError.self) { try await scene.jobs(node) }
        }
      }
    }
  }

  @Test func `a job is controlled wherever it runs`() async throws {
    let datanodes = NodesWithJobs()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        _ = try await scene.join(3, address: address)
        #expect(try await scene.control("scrub", .pace, percent: 250).jobs.map(\.node) == [1, 2, 3])
        #expect(try await scene.control("scrub", .pause, node: 2).jobs.map(\.node) == [2])
        #expect(datanodes.seen.map(\.percent) == [250, 250, 0, 250])
        let paused = try await scene.control("expire_uploads", .pause)
        #expect(paused.jobs.map(\.node) == [0] && paused.jobs[0].paused)
        #expect(try await scene.jobs(0).jobs.filter(\.paused).map(\.name) == ["expire_uploads"])
        #expect(try await scene.control("expire_uploads", .resume, node: 0).jobs.map(\.paused) == [false])
      }
    }
  }

  @Test func `what can not be done is refused with advice`() async throws {
    try await NodesWithJobs(refusing: 1).serve { address in
      try await CoordinatorScene.run { scene in
        _ = try await scene.join(2, address: address)
        let unknown = await #expect(throws: DFSError.self) { try await scene.control("scrap", .pause) }
        #expect(unknown?.code == .failedPrecondition, "the refusal of a node says more")
        let partly = await #expect(throws: DFSError.self) { try await scene.control("scrub", .run) }
        #expect(partly?.message == "job scrub was reached in 1 place, but it is paused")
        let vital = await #expect(throws: DFSError.self) {
          try await scene.control("watch_nodes", .pause, node: 0)
        }
        #expect(vital?.code == .failedPrecondition)
        for percent in [0, 10_001] as [UInt32] {
          let pace = await #expect(throws: DFSError.self) {
            try await scene.control("expire_uploads", .pace, percent: percent, node: 0)
          }
          #expect(pace?.code == .invalidArgument)
        }
        let nothing = await #expect(throws: DFSError.self) { try await scene.control("scrub", .unspecified) }
        #expect(nothing?.code == .invalidArgument)
      }
    }
    try await CoordinatorScene.run { scene in
      let unknown = await #expect(throws: DFSError.self) { try await scene.control("scrap", .pause) }
      #expect(unknown?.code == .notFound)
    }
  }

  @Test func `a node's scrub and its quarantine are told of`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(2)
      var beat = nodes[0].heartbeat
      beat.quarantined = 3
      beat.scrub.endedMs = 5000
      (beat.scrub.done, beat.scrub.total) = (1, 8)
      try await nodes[0].beat(at: scene, beat)
      let list = try await scene.call(CoordinatorMethods.listNodes, WireListNodesRequest()).nodes
      #expect(list.map(\.quarantined) == [3, 0] && list.map(\.scrubPermille) == [125, 0])
      #expect(list[0].scrubEndedMs == 5000 && !list[1].hasScrubEndedMs)
    }
  }
}
