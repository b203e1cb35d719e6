import DFSClient
import Foundation
import TestSupport
import Testing

/// The client library against the real roles.
@Suite(.serialized) struct LibraryTests {
  private func bytes(_ count: Int) -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(count))
    return random.bytes(count)
  }

  @Test func `the example of the documentation runs`() async throws {
    try await RunningCluster.run { cluster, _ in
      let directory = try TemporaryDirectory()
      let (cat, copy) = (directory.path + "/cat.jpg", directory.path + "/copy.jpg")
      try Data(bytes(100_000)).write(to: URL(fileURLWithPath: cat))
      let address = try cluster.address.description

      let client = try DFSClient.connect(coordinators: [Endpoint(address)])
      let path = try RemotePath("/photos/cat.jpg")

      var options = UploadOptions()
      options.makeParents = true
      try await client.upload(file: cat, to: path, options: options)

      var names: [String] = []
      for try await entry in client.entries(of: .root, recursive: true) {
        names.append(entry.path)
      }
      try await client.download(path, to: copy)
      await client.close()

      #expect(names == ["photos", "photos/cat.jpg"])
      #expect(FileManager.default.contentsEqual(atPath: cat, andPath: copy))
    }
  }

  @Test(arguments: [0, 1, 4096, 4097, 65_537, 262_145, 1_048_576, 5_000_001])
  func `content of any length comes back verified, with its hash`(length: Int) async throws {
    try await RunningCluster.run { _, client in
      let bytes = bytes(length)
      let path = try RemotePath("/file")
      var options = UploadOptions()
      options.chunkSize = ChunkSize(bytes: 1 << 20)
      let receipt = try await client.upload(bytes: bytes, to: path, options: options)
      #expect(receipt.replicas == 3 && receipt.attributes.length == ByteCount(length))
      #expect(try await client.read(path) == bytes)
      let directory = try TemporaryDirectory()
      try Data(bytes).write(to: URL(fileURLWithPath: directory.path + "/local"))
      #expect(try LocalHash.root(ofFile: directory.path + "/local") == receipt.attributes.root)
    }
  }

  @Test func `a put and a get go on when a datanode stops, and count what they got`() async throws {
    try await RunningCluster.run { cluster, client in
      let bytes = bytes(3_000_000)
      let path = try RemotePath("/file")
      try await client.upload(bytes: bytes, to: path)
      try await cluster.stopDatanode(1)
      #expect(try await client.read(path) == bytes)
      let receipt = try await client.upload(bytes: bytes, to: try RemotePath("/second"))
      #expect(receipt.replicas == 2)
      try await cluster.stopDatanode(2)
      #expect(try await client.read(path) == bytes, "the last good copy is enough to read")
    }
  }

  @Test func `an upload waits for a coordinator that restarts`() async throws {
    try await RunningCluster.run { cluster, client in
      let bytes = bytes(2_000_000)
      let (source, feed) = AsyncStream<[UInt8]>.makeStream()
      feed.yield(Array(bytes.prefix(1_500_000)))
      var options = UploadOptions()
      options.chunkSize = ChunkSize(bytes: 262_144)
      async let stored = client.upload(stream: source, to: try RemotePath("/file"), options: options)
      while try await client.status().openUploads == 0 { try await Task.sleep(for: .milliseconds(10)) }
      try await cluster.stopCoordinator()
      feed.yield(Array(bytes.dropFirst(1_500_000)))
      feed.finish()
      try await cluster.startCoordinator()
      #expect(try await stored.attributes.length == ByteCount(2_000_000))
      #expect(try await client.read(try RemotePath("/file")) == bytes)
    }
  }

  @Test func `names are listed in order, moved and removed, and conditions hold`() async throws {
    try await RunningCluster.run { _, client in
      let directory = try RemotePath("/d")
      try await client.makeDirectory(directory)
      for number in 0..<25 {
        try await client.upload(bytes: [UInt8(number)], to: try RemotePath("/d/\(number + 100)"))
      }
      var seen: [String] = []
      var token: PageToken?
      repeat {
        let page = try await client.page(of: directory, after: token, size: 10)
        #expect(page.entries.count <= 10)
        seen += page.entries.map(\.path)
        token = page.next
      } while token != nil
      #expect(seen == (100..<125).map(String.init))

      let first = try await client.stat(try RemotePath("/d/100"))
      var options = UploadOptions()
      options.condition = .ifAbsent
      let taken = await #expect(throws: DFSError.self) {
        try await client.upload(bytes: [1], to: try RemotePath("/d/100"), options: options)
      }
      #expect(taken?.code == .alreadyExists)
      options.condition = .ifRevision(first.revision)
      try await client.upload(bytes: [1, 2], to: try RemotePath("/d/100"), options: options)
      let stale = await #expect(throws: DFSError.self) {
        try await client.upload(bytes: [3], to: try RemotePath("/d/100"), options: options)
      }
      #expect(stale?.code == .failedPrecondition)

      try await client.move(directory, to: try RemotePath("/e"))
      #expect(try await client.diskUsage(of: try RemotePath("/e")).files == 25)
      let full = await #expect(throws: DFSError.self) { try await client.remove(try RemotePath("/e")) }
      #expect(full?.code == .failedPrecondition)
      try await client.remove(try RemotePath("/e"), .tree)
      let gone = await #expect(throws: DFSError.self) { try await client.stat(directory) }
      #expect(gone?.code == .notFound)
    }
  }

  @Test func `with one datanode one copy is kept, and it says so`() async throws {
    try await RunningCluster.run(datanodes: 1, coordinator: { $0.policy = .init(replicas: 1) }) { _, client in
      let receipt = try await client.upload(bytes: bytes(100_000), to: try RemotePath("/file"))
      #expect(receipt.replicas == 1 && receipt.attributes.replicas == 1)
      let status = try await client.status()
      #expect(status.nodesUp == 1 && status.replicas == 1)
      let (_, chunks) = try await client.chunks(of: try RemotePath("/file"))
      #expect(chunks.count == 1 && chunks[0].replicas.count == 1)
    }
  }

  @Test func `over mutual TLS everything works, and without a certificate nothing does`() async throws {
    let certificates = try TestCertificates()
    try await RunningCluster.run(certificates: certificates) { cluster, client in
      let bytes = bytes(1_000_000)
      let path = try RemotePath("/file")
      try await client.upload(bytes: bytes, to: path)
      #expect(try await client.read(path) == bytes)
      for tls in [nil, ClientConfiguration.TLS(authorities: certificates.authority)] {
        let stranger = try cluster.client {
          $0.tls = tls
          $0.connectTimeout = .seconds(1)
        }
        await #expect(throws: DFSError.self) { try await stranger.stat(path) }
        await stranger.close()
      }
    }
  }

  @Test func `what was removed or replaced comes back, until it is purged`() async throws {
    try await RunningCluster.run { _, client in
      let (one, two) = (bytes(300_000), bytes(5))
      let path = try RemotePath("/d/file")
      var options = UploadOptions()
      options.makeParents = true
      try await client.upload(bytes: one, to: path, options: options)
      try await client.upload(bytes: two, to: path)
      let deletion = try #require(try await client.remove(path))
      var found: [TrashEntry] = []
      for try await entry in client.trash(below: try RemotePath("/d")) { found.append(entry) }
      #expect(found.map(\.path) == ["/d/file", "/d/file"] && found.map(\.cause) == [.replaced, .removed])
      #expect(found.last?.deletion == deletion && found.first?.length == ByteCount(300_000))
      #expect(try await client.undelete(deletion).path == "/d/file")
      let old = try RemotePath("/old")
      let first = try #require(found.first?.deletion)
      #expect(try await client.undelete(first, to: old).attributes.length == ByteCount(300_000))
      #expect(try await client.read(path) == two)
      #expect(try await client.read(old) == one)
      let gone = await #expect(throws: DFSError.self) { try await client.undelete(deletion) }
      #expect(gone?.code == .notFound)
      #expect(try await client.remove(old, .single, .now) == nil)
      let tree = try #require(try await client.remove(try RemotePath("/d"), .tree))
      #expect(try await client.purge([tree, deletion]) == 1)
      #expect(try await client.emptyTrash() == 0)
      #expect(try await client.trashPage().entries.isEmpty)
    }
  }
}
