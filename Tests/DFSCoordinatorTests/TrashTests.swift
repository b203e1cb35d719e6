import DFSCore
import DFSMetadata
import DFSWire
import Foundation
import TestSupport
import Testing

@testable import DFSCoordinator

extension CoordinatorScene {
  fileprivate func trash(
    _ path: String = "", pageSize: UInt32 = 0, page: Data = Data()
  ) async throws -> WireListTrashResponse {
    var request = WireListTrashRequest()
    (request.path, request.pageSize, request.page) = (path, pageSize, page)
    return try await call(CoordinatorMethods.listTrash, request)
  }

  fileprivate func undeletion(_ deletion: String, to target: String = "") -> WireUndeleteRequest {
    var request = WireUndeleteRequest()
    (request.requestID, request.deletion, request.target) = (requestID(), deletion, target)
    return request
  }

  fileprivate func undelete(_ deletion: String, to target: String = "") async throws -> WireUndeleteResponse {
    try await call(CoordinatorMethods.undelete, undeletion(deletion, to: target))
  }

  fileprivate func purge(_ deletions: [String], all: Bool = false) async throws -> UInt64 {
    var request = WirePurgeTrashRequest()
    (request.deletions, request.all) = (deletions, all)
    return try await call(CoordinatorMethods.purgeTrash, request).purged
  }

  fileprivate var purger: PurgeExpired {
    PurgeExpired(
      namespace: coordinator.namespace, cluster: coordinator.cluster, disk: disk, logger: Self.silence,
      now: { [time] in time.now })
  }

  fileprivate static func runWithTrash(_ body: (CoordinatorScene) async throws -> Void) async throws {
    try await run(configure: { $0.namespace.trashRetention = .seconds(24 * 3600) }, body)
  }
}

private func code(_ body: () async throws -> some Any) async -> DFSError.Code? {
  do {
    _ = try await body()
    return nil
  } catch { return (error as? DFSError)?.code ?? .internal }
}

@Suite(.timeLimit(.minutes(1)))
struct `The trash at the coordinator` {
  @Test func `what was removed is listed, comes back, and its answers can be asked for again`() async throws {
    try await CoordinatorScene.runWithTrash { scene in
      try await scene.putInline("/d/f", [1], makeParents: true)
      let inode = try await scene.stat("/d/f").inode
      let removed = try await scene.remove("/d/f")
      let entry = try #require(try await scene.trash("/d").entries.first)
      #expect(entry.deletion == removed.deletion && entry.path == "/d/f" && entry.type == .file)
      #expect(entry.length == 1 && entry.cause == .removed && entry.inode == inode)
      #expect(entry.expiresMs == entry.deletedMs + 24 * 3_600_000)
      #expect(try await scene.trash("/e").entries.isEmpty)
      #expect(try await scene.status().trashEntries == 1)
      let request = scene.undeletion(removed.deletion)
      let back = try await scene.call(CoordinatorMethods.undelete, request)
      #expect(back.path == "/d/f" && back.attributes.inode == inode && back.attributes.revision == back.revision)
      #expect(try await scene.stat("/d/f").revision == back.revision)
      // A lost answer: asked again with the same id, it is given again and nothing is done.
      try await scene.remove("/d/f")
      #expect(try await scene.call(CoordinatorMethods.undelete, request).revision == back.revision)
      #expect(await code { try await scene.stat("/d/f") } == .notFound)
      var other = request
      other.target = "/x"
      #expect(await code { try await scene.call(CoordinatorMethods.undelete, other) } == .invalidArgument)
      #expect(await code { try await scene.undelete(removed.deletion) } == .notFound)
    }
  }

  @Test func `an earlier version comes back beside the present one, a tree with everything`() async throws {
    try await CoordinatorScene.runWithTrash { scene in
      try await scene.putInline("/t/f", [1], makeParents: true)
      try await scene.putInline("/t/f", [2])
      let old = try #require(try await scene.trash().entries.first)
      #expect(old.cause == .replaced)
      #expect(await code { try await scene.undelete(old.deletion) } == .alreadyExists)
      #expect(try await scene.undelete(old.deletion, to: "/t/old").path == "/t/old")
      #expect(try await scene.lookup("/t/old").content == Data([1]))
      let tree = try await scene.remove("/t", recursive: true).deletion
      #expect(try await scene.undelete(tree, to: "/u").attributes.type == .directory)
      #expect(try await scene.list("/u").entries.map(\.path) == ["f", "old"])
    }
  }

  @Test func `now goes past the trash; purged is gone; all is what is there when the call comes`() async throws {
    try await CoordinatorScene.runWithTrash { scene in
      try await scene.putInline("/now", [1])
      #expect(try await scene.remove("/now", now: true).deletion.isEmpty)
      var deletions: [String] = []
      for number in 0..<30 {
        try await scene.putInline("/\(number)", [1])
        deletions.append(try await scene.remove("/\(number)").deletion)
      }
      #expect(try await scene.purge([deletions[3], deletions[3], deletions[4]]) == 2)
      #expect(await code { try await scene.undelete(deletions[3]) } == .notFound)
      var listed: [String] = []
      var page = Data()
      repeat {
        let answer = try await scene.trash(pageSize: 7, page: page)
        listed += answer.entries.map(\.deletion)
        page = answer.nextPage
      } while !page.isEmpty
      #expect(listed == deletions.filter { ![deletions[3], deletions[4]].contains($0) })
      #expect(try await scene.purge([], all: true) == 28)
      #expect(try await scene.status().trashEntries == 0)
      #expect(try await scene.trash().entries.isEmpty)
    }
  }

  @Test func `what no client sends is refused`() async throws {
    try await CoordinatorScene.runWithTrash { scene in
      for bad in ["", "x", "1-", "01-1", "1-1-1"] {
        #expect(await code { try await scene.undelete(bad) } == .invalidArgument)
        #expect(await code { try await scene.purge([bad]) } == .invalidArgument)
      }
      #expect(await code { try await scene.purge([]) } == .invalidArgument)
      #expect(await code { try await scene.purge(["1-1"], all: true) } == .invalidArgument)
      let tooMany = Array(repeating: "1-1", count: 1001)
      #expect(await code { try await scene.purge(tooMany) } == .invalidArgument)
      let unknown = try await scene.purge(["1-1"])
      #expect(unknown == 0)
      #expect(await code { try await scene.undelete("1-1") } == .notFound)
      #expect(await code { try await scene.undelete("1-1", to: "relative") } == .invalidArgument)
      for page in [Data([1]), Data(repeating: 2, count: 17), Data(repeating: 1, count: 18)] {
        #expect(await code { try await scene.trash(page: page) } == .invalidArgument)
      }
      #expect(await code { try await scene.trash("relative") } == .invalidArgument)
      let end = Data([1]) + Data(repeating: 255, count: 16)
      let last = try await scene.trash(page: end)
      #expect(last.entries.isEmpty)
    }
  }

  @Test func `when the time of a deletion is over it goes, and its chunks after the grace`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.runWithTrash { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 5)
        let deletion = try await scene.remove("/a").deletion
        scene.time.pass(.seconds(24 * 3600 - 1))
        for node in nodes { try await node.beat(at: scene) }
        try await scene.exhaust(scene.purger)
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().trashEntries == 1 && datanodes.orders.isEmpty)
        scene.time.pass(.seconds(1))
        try await scene.exhaust(scene.purger)
        #expect(try await scene.status().trashEntries == 0)
        #expect(await code { try await scene.undelete(deletion) } == .notFound)
        try await scene.exhaust(scene.reaper)
        #expect(datanodes.orders.isEmpty, "the grace is not over")
        scene.time.pass(.seconds(121))
        for node in nodes { try await node.reregister(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(datanodes.orders.allSatisfy { $0.inode == file.inode })
        let first = datanodes.orders.filter { $0.node == 1 }
        #expect(first.reduce(0) { $0 + $1.count } == 5)
        #expect(try await scene.status().condemned == 0)
      }
    }
  }

  @Test func `reader of an overwritten version beside the reaper`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.runWithTrash { scene in
        let nodes = try await scene.join(3, address: address)
        let old = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 2).inode
        var pin = WirePinVersionRequest()
        pin.inodes = [old]
        _ = try await scene.call(CoordinatorMethods.pinVersion, pin)
        try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 1)
        #expect(try await scene.purge([], all: true) == 1)
        for _ in 0..<4 {
          scene.time.pass(.seconds(50))
          #expect(try await scene.call(CoordinatorMethods.pinVersion, pin).gone.isEmpty)
          for node in nodes { try await node.reregister(at: scene) }
          try await scene.exhaust(scene.reaper)
          #expect(datanodes.orders.isEmpty, "it is being read")
          var manifest = WireGetManifestRequest()
          manifest.inode = old
          #expect(try await scene.call(CoordinatorMethods.getManifest, manifest).chunks.count == 2)
        }
        scene.time.pass(.seconds(61))
        for node in nodes { try await node.reregister(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(!datanodes.orders.isEmpty && datanodes.orders.allSatisfy { $0.inode == old })
        #expect(try await scene.call(CoordinatorMethods.pinVersion, pin).gone == [old])
      }
    }
  }

  @Test func `of more deletions than are kept the oldest leave early`() async throws {
    try await CoordinatorScene.run {
      $0.namespace.trashRetention = .seconds(3600)
      $0.namespace.trashEntries = 3
    } _: { scene in
      for number in 0..<8 {
        try await scene.putInline("/\(number)", [1])
        try await scene.remove("/\(number)")
      }
      try await scene.exhaust(scene.purger)
      #expect(try await scene.trash().entries.map(\.path) == ["/5", "/6", "/7"])
    }
  }

  @Test func `on nearly full disks the oldest that take space leave early, and no more than needed`()
    async throws
  {
    try await CoordinatorScene.runWithTrash { scene in
      let nodes = try await scene.join(3)
      try await scene.putInline("/small", [1])
      try await scene.remove("/small")
      for name in ["/a", "/b"] {
        try await ScriptedUpload.put(name, by: nodes, at: scene, chunks: 2)
        try await scene.remove(name)
      }
      func beat(free: UInt64) async throws {
        for var node in nodes {
          node.free = free
          try await node.beat(at: scene)
        }
      }
      let purger = scene.purger
      // Nobody has said how much is free: nothing is known of pressure.
      try await scene.exhaust(purger)
      #expect(try await scene.status().trashEntries == 3)
      try await beat(free: 10 << 30)
      try await scene.exhaust(purger)
      #expect(try await scene.status().trashEntries == 3, "a tenth is free")
      try await beat(free: 10 << 30 - 1)
      try await scene.exhaust(purger)
      #expect(try await scene.trash().entries.map(\.path) == ["/small", "/b"])
      let actions = try await scene.status().actions
      #expect(actions.contains { $0.contains("1 deletion left the trash before its time") })
      try await scene.exhaust(purger)
      #expect(try await scene.status().trashEntries == 2, "what was purged is on its way")
      scene.time.pass(.seconds(181))
      try await beat(free: 10 << 30 - 1)
      try await scene.exhaust(purger)
      #expect(try await scene.trash().entries.map(\.path) == ["/small"], "it did not help")
    }
  }
}

@Suite struct `Pressure on the trash` {
  private func cost(_ serial: UInt64, _ stored: Int64?) -> TrashCost {
    TrashCost(
      deletion: DeletionID(expiry: 1, serial: serial), stored: stored.map { ByteCount(rawValue: $0) })
  }

  private func space(_ capacity: Int64, free: Int64) -> ClusterSpace {
    var space = ClusterSpace([])
    (space.capacity, space.free) = (ByteCount(rawValue: capacity), ByteCount(rawValue: free))
    return space
  }

  @Test func `a tenth is wanted, and what was purged counts as free until its time is over`() {
    var pressure = TrashPressure()
    let start = ContinuousClock.now
    #expect(pressure.missing(of: space(0, free: 0), now: start) == .zero)
    #expect(pressure.missing(of: space(1000, free: 100), now: start) == .zero)
    #expect(pressure.missing(of: space(1000, free: 40), now: start) == ByteCount(60))
    let costs = [cost(1, 0), cost(2, 20), cost(3, 30), cost(4, 50), cost(5, 10)]
    let chosen = pressure.choose(costs, missing: ByteCount(60))
    #expect(chosen.map(\.deletion.serial) == [2, 3, 4])
    pressure.purged(Array(chosen.prefix(2)), due: start + .seconds(10))
    #expect(pressure.missing(of: space(1000, free: 40), now: start) == ByteCount(10))
    #expect(pressure.missing(of: space(1000, free: 40), now: start + .seconds(10)) == ByteCount(60))
  }

  @Test func `a tree goes alone and is waited for`() {
    var pressure = TrashPressure()
    let start = ContinuousClock.now
    let chosen = pressure.choose([cost(1, 5), cost(2, nil), cost(3, 5)], missing: ByteCount(60))
    #expect(chosen.map(\.deletion.serial) == [1, 2])
    pressure.purged(chosen, due: start + .seconds(10))
    #expect(pressure.missing(of: space(1000, free: 0), now: start + .seconds(9)) == .zero)
    #expect(pressure.missing(of: space(1000, free: 0), now: start + .seconds(10)) == ByteCount(100))
    #expect(pressure.choose([cost(1, 5)], missing: .zero).isEmpty)
  }
}
