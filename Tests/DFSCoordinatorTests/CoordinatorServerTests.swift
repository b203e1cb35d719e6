import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import TestSupport
import Testing

@testable import DFSCoordinator

@Suite(.timeLimit(.minutes(1)))
struct `A coordinator's process` {
  private func configuration(_ directory: TemporaryDirectory) -> CoordinatorConfiguration {
    var configuration = CoordinatorConfiguration(
      data: directory.path + "/coordinator",
      server: RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)]))
    configuration.drainGrace = .milliseconds(500)
    return configuration
  }

  /// Starts a server, gives `body` a channel to it, and stops it.
  private func serve(
    _ configuration: CoordinatorConfiguration, _ body: (RPCChannel) async throws -> Void
  ) async throws {
    let loops = NetworkLoops(count: 1)
    let server = CoordinatorServer(configuration, loops: loops, logger: CoordinatorScene.silence)
    let endpoints = try await server.start()
    let channel = RPCChannel(
      endpoints: endpoints, configuration: RPCChannel.Configuration(), loops: loops,
      logger: CoordinatorScene.silence)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run() }
      let result: Result<Void, any Error>
      do { result = .success(try await body(channel)) } catch { result = .failure(error) }
      await channel.close()
      server.stop()
      try await group.waitForAll()
      try result.get()
    }
    await loops.shutdown()
  }

  @Test func `what was acknowledged is there after a restart, under a higher term`() async throws {
    let directory = try TemporaryDirectory()
    let configuration = configuration(directory)
    let first = ScriptedBox<WireGetStatusResponse>()
    try await serve(configuration) { channel in
      var make = WireMakeDirectoryRequest()
      make.requestID.high = 1
      make.path = "/kept"
      _ = try await channel.call(CoordinatorMethods.makeDirectory, make)
      first.value = try await channel.call(CoordinatorMethods.getStatus, WireGetStatusRequest())
    }
    try await serve(configuration) { channel in
      var stat = WireStatRequest()
      stat.path = "/kept"
      #expect(try await channel.call(CoordinatorMethods.stat, stat).attributes.type == .directory)
      let status = try await channel.call(CoordinatorMethods.getStatus, WireGetStatusRequest())
      #expect(status.cluster == first.value?.cluster)
      #expect(try Epoch(status.epoch) > Epoch(first.value?.epoch ?? WireEpoch()))
    }
  }

  @Test func `a second process on the same directory is refused`() async throws {
    let directory = try TemporaryDirectory()
    let configuration = configuration(directory)
    try await serve(configuration) { _ in
      let loops = NetworkLoops(count: 1)
      let second = CoordinatorServer(configuration, loops: loops, logger: CoordinatorScene.silence)
      let error = await #expect(throws: DFSError.self) { try await second.start() }
      #expect(error?.message.contains("another process") == true)
      await loops.shutdown()
    }
  }

  @Test func `a directory of something else is refused and left alone`() throws {
    let directory = try TemporaryDirectory()
    try Data("mine".utf8).write(to: URL(fileURLWithPath: directory.path + "/photo.jpg"))
    #expect(throws: DFSError.self) { try DataDirectory(directory.path) }
    let other = try TemporaryDirectory()
    try Data("dfs coordinator data, format 2\n".utf8).write(
      to: URL(fileURLWithPath: other.path + "/identity"))
    #expect(throws: DFSError.self) { try DataDirectory(other.path) }
    let empty = try TemporaryDirectory()
    do { _ = try DataDirectory(empty.path) }
    _ = try DataDirectory(empty.path)
  }

  @Test func `jobs run and are listed`() async throws {
    let directory = try TemporaryDirectory()
    let loops = NetworkLoops(count: 1)
    let server = CoordinatorServer(configuration(directory), loops: loops, logger: CoordinatorScene.silence)
    _ = try await server.start()
    let names = server.jobs.map(\.name)
    #expect(names == names.sorted() && Set(names).isSuperset(of: ["expire_uploads", "watch_nodes"]))
    await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run() }
      while !server.jobs.allSatisfy({ $0.steps > 0 }) { await Task.yield() }
      group.cancelAll()
    }
    await loops.shutdown()
  }
}
