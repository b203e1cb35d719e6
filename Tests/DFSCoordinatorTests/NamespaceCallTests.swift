import DFSCore
import DFSWire
import Foundation
import Testing

@testable import DFSCoordinator

@Suite(.timeLimit(.minutes(1)))
struct `Names at a coordinator` {
  @Test func `a small file is one call, with its parents`() async throws {
    try await CoordinatorScene.run { scene in
      let content = Array("hello".utf8)
      let put = try await scene.putInline("/a/b/c", content, makeParents: true)
      #expect(put.length == 5 && put.isInline && put.chunkCount == 0)
      let found = try await scene.lookup("/a/b/c")
      #expect(found.content == Data(content))
      #expect(found.attributes == put)
      #expect(try await scene.stat("/a/b").type == .directory)
      #expect(try await scene.lookup("/a/b/c").chunks.isEmpty)
      #expect(try await scene.putInline("/empty", []).length == 0)
      #expect(try await scene.lookup("/empty").content.isEmpty)
    }
  }

  @Test func `an inline file that is too long or damaged is refused`() async throws {
    try await CoordinatorScene.run { scene in
      let long = scene.inlineRequest("/a", [UInt8](repeating: 1, count: 4097))
      var error = await #expect(throws: DFSError.self) {
        try await scene.call(CoordinatorMethods.putInline, long)
      }
      #expect(error?.metadata["inline_limit"] == "4096")
      var damaged = scene.inlineRequest("/a", [1, 2, 3])
      damaged.content = Data([1, 2, 4])
      error = await #expect(throws: DFSError.self) {
        try await scene.call(CoordinatorMethods.putInline, damaged)
      }
      #expect(error?.code == .corrupt)
      let status = try await scene.status()
      #expect(status.files == 0)
    }
  }

  @Test func `a time of zero is the time of the commit, and a retry changes nothing`() async throws {
    try await CoordinatorScene.run { scene in
      let request = scene.inlineRequest("/a", [1])
      let first = try await scene.call(CoordinatorMethods.putInline, request)
      #expect(first.attributes.modifiedNs > 1_600_000_000_000_000_000)
      #expect(first.attributes.mode == 0o644)
      let second = try await scene.call(CoordinatorMethods.putInline, request)
      #expect(second.attributes == first.attributes)
    }
  }

  @Test func `directories are made, listed, renamed and removed`() async throws {
    try await CoordinatorScene.run { scene in
      var make = WireMakeDirectoryRequest()
      make.requestID = scene.requestID()
      make.path = "/d/e"
      make.makeParents = true
      make.replicas = 2
      let made = try await scene.call(CoordinatorMethods.makeDirectory, make)
      #expect(
        made.attributes.type == .directory && made.attributes.replicas == 2 && made.attributes.mode == 0o755)
      for name in ["x", "y", "z"] { try await scene.putInline("/d/e/\(name)", [1]) }
      #expect(try await scene.list("/d").entries.map(\.path) == ["e"])
      #expect(try await scene.list("/d", recursive: true).entries.map(\.path) == ["e", "e/x", "e/y", "e/z"])
      #expect(try await scene.list("/d/e/x").entries.map(\.path) == ["x"])

      var rename = WireRenameRequest()
      rename.requestID = scene.requestID()
      rename.source = "/d/e"
      rename.target = "/f"
      _ = try await scene.call(CoordinatorMethods.rename, rename)
      #expect(try await scene.list("/f").entries.map(\.path) == ["x", "y", "z"])
      await #expect(throws: DFSError.self) { try await scene.remove("/f") }
      try await scene.remove("/f", recursive: true)
      #expect(try await scene.list("/").entries.map(\.path) == ["d"])
    }
  }

  @Test func `pages of a listing show one moment, each under a mebibyte`() async throws {
    try await CoordinatorScene.run { scene in
      let long = String(repeating: "n", count: 200)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<600 {
          group.addTask { try await scene.putInline("/d/\(long)\(1000 + number)", [1], makeParents: true) }
        }
        try await group.waitForAll()
      }
      var page = try await scene.list("/d", pageSize: 250)
      var names = page.entries.map(\.path)
      let revision = page.revision
      try await scene.putInline("/d/zz", [1])
      try await scene.remove("/d/\(long)1599")
      while !page.nextPage.isEmpty {
        page = try await scene.list("/d", pageSize: 250, page: page.nextPage)
        #expect(page.revision == revision && !page.snapshotLost)
        names += page.entries.map(\.path)
      }
      #expect(names == (0..<600).map { "\(long)\(1000 + $0)" })
    }
  }

  @Test func `a listing that takes longer than its moment is kept goes on behind the last name and says so`()
    async throws
  {
    try await CoordinatorScene.run { scene in
      for name in ["a", "b", "c", "d"] { try await scene.putInline("/\(name)", [1]) }
      let first = try await scene.list("/", pageSize: 2)
      #expect(first.entries.map(\.path) == ["a", "b"])
      try await scene.remove("/b")
      try await scene.remove("/c")
      try await scene.putInline("/aa", [1])
      try await scene.putInline("/e", [1])
      scene.time.pass(.seconds(299))
      let kept = try await scene.list("/", pageSize: 1, page: first.nextPage)
      #expect(kept.entries.map(\.path) == ["c"] && kept.revision == first.revision && !kept.snapshotLost)
      scene.time.pass(.seconds(2))
      let late = try await scene.list("/", pageSize: 2, page: kept.nextPage)
      #expect(late.entries.map(\.path) == ["d", "e"] && late.revision > first.revision && late.snapshotLost)
    }
  }

  @Test func `entries with large attributes fill a page sooner, and none is lost`() async throws {
    try await CoordinatorScene.run { scene in
      let value = Data(repeating: 1, count: 16_000)
      for number in 0..<200 {
        var request = scene.inlineRequest("/f\(1000 + number)", [1])
        request.attributes.userAttributes = ["k": value]
        _ = try await scene.call(CoordinatorMethods.putInline, request)
      }
      var names: [String] = []
      var page = WireListResponse()
      repeat {
        page = try await scene.list("/", page: page.nextPage)
        #expect(try page.serializedData().count < 1 << 20)
        #expect(!page.snapshotLost)
        names += page.entries.map(\.path)
      } while !page.nextPage.isEmpty
      #expect(names == (0..<200).map { "f\(1000 + $0)" })
    }
  }

  @Test func `usage adds up over pages`() async throws {
    try await CoordinatorScene.run { scene in
      for number in 0..<10 { try await scene.putInline("/d/\(number)/f", [1, 2, 3], makeParents: true) }
      var request = WireDiskUsageRequest()
      request.path = "/d"
      let usage = try await scene.call(CoordinatorMethods.diskUsage, request)
      #expect(usage.files == 10 && usage.directories == 11 && usage.bytes == 30 && usage.nextPage.isEmpty)
    }
  }

  @Test func `preconditions are told apart`() async throws {
    try await CoordinatorScene.run { scene in
      let first = try await scene.putInline("/a", [1])
      var request = scene.inlineRequest("/a", [2])
      request.precondition.ifAbsent = true
      var error = await #expect(throws: DFSError.self) {
        try await scene.call(CoordinatorMethods.putInline, request)
      }
      #expect(error?.code == .alreadyExists)
      request.requestID = scene.requestID()
      request.precondition.ifRevision = first.revision
      let second = try await scene.call(CoordinatorMethods.putInline, request)
      request.requestID = scene.requestID()
      error = await #expect(throws: DFSError.self) {
        try await scene.call(CoordinatorMethods.putInline, request)
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.metadata["revision"] == "\(second.attributes.revision)")
    }
  }

  @Test func `attributes are set and removed one by one`() async throws {
    try await CoordinatorScene.run { scene in
      try await scene.putInline("/a", [1])
      var request = WireSetAttributesRequest()
      request.requestID = scene.requestID()
      request.path = "/a"
      request.mode = 0
      request.modifiedNs = 7
      request.userAttributes = ["k": Data([1]), "l": Data([2])]
      var set = try await scene.call(CoordinatorMethods.setAttributes, request)
      #expect(set.attributes.mode == 0 && set.attributes.modifiedNs == 7)
      request.requestID = scene.requestID()
      request.userAttributes = ["k": Data()]
      set = try await scene.call(CoordinatorMethods.setAttributes, request)
      #expect(set.attributes.userAttributes == ["l": Data([2])])
    }
  }
}
