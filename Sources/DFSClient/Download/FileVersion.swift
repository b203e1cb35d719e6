import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOCore

/// One version of a file, as it was when it was looked up: what is known of it and, page by page, its
/// manifest.
///
/// Manifests belong to the inode and never change, so pages are kept (a few of them) and need no refreshing;
/// the name may lead elsewhere in the meantime without any effect here.
actor FileVersion {
  static let pageSize = 1024
  static let pagesKept = 4

  nonisolated let path: String
  nonisolated let attributes: FileAttributes
  /// The content, when it lies in the metadata.
  nonisolated let inline: ByteBuffer?
  nonisolated let capability: WireCapability
  /// How long the reaper leaves it alone without a pin.
  nonisolated let validity: Duration

  private let connection: ClusterConnection
  private var pages: [Int: [FileChunk]]
  /// Least recently used first.
  private var recent: [Int]
  private var loading: [Int: Task<[FileChunk], any Error>] = [:]

  /// Looks the path up; the first page of the manifest comes with the answer.
  static func open(_ path: RemotePath, _ connection: ClusterConnection) async throws -> FileVersion {
    var request = WireLookupRequest()
    request.path = path.description
    request.maxChunks = UInt32(pageSize)
    let answer = try await connection.read(CoordinatorMethods.lookup, request)
    connection.saw(revision: answer.revision)
    connection.learn(groups: answer.groups, nodes: answer.nodes)
    return try FileVersion(path, answer, connection)
  }

  private init(_ path: RemotePath, _ answer: WireLookupResponse, _ connection: ClusterConnection) throws {
    let attributes = try FileAttributes(answer.attributes)
    guard attributes.kind == .file else {
      throw DFSError(.failedPrecondition, "\(path) is a directory", metadata: ["path": path.description])
    }
    self.path = path.description
    self.connection = connection
    self.attributes = attributes
    capability = answer.capability
    validity = .milliseconds(Int64(clamping: answer.validMs))
    if attributes.isInline || attributes.length == .zero {
      let content = ByteBuffer(bytes: answer.content)
      try Self.check(content, attributes, path)
      inline = content
      pages = [:]
      recent = []
    } else {
      inline = nil
      pages = [0: try Self.chunks(answer.chunks, from: 0, attributes, path.description)]
      recent = [0]
    }
  }

  nonisolated var chunkSize: Int { attributes.chunkSize?.bytes ?? ChunkSize.standard.bytes }

  /// The chunk at a position.
  func chunk(_ position: Int) async throws -> FileChunk {
    let number = position / Self.pageSize
    let page = try await page(number)
    guard position % Self.pageSize < page.count else {
      throw DFSError(
        .corrupt, "the manifest of \(path) ends before chunk \(position)", metadata: ["path": path])
    }
    return page[position % Self.pageSize]
  }

  private func page(_ number: Int) async throws -> [FileChunk] {
    if let page = pages[number] {
      touch(number)
      return page
    }
    // Several chunks of one page are wanted at once; one of them asks.
    let task = loading[number] ?? Task { try await load(number) }
    loading[number] = task
    defer { loading[number] = nil }
    let page = try await task.value
    pages[number] = page
    touch(number)
    if recent.count > Self.pagesKept { pages[recent.removeFirst()] = nil }
    return page
  }

  private func touch(_ number: Int) {
    recent.removeAll { $0 == number }
    recent.append(number)
  }

  private func load(_ number: Int) async throws -> [FileChunk] {
    var request = WireGetManifestRequest()
    request.inode = attributes.inode.rawValue
    request.firstChunk = UInt64(number * Self.pageSize)
    request.maxChunks = UInt32(Self.pageSize)
    let answer = try await connection.read(CoordinatorMethods.getManifest, request)
    connection.learn(groups: answer.groups, nodes: answer.nodes)
    return try Self.chunks(answer.chunks, from: number * Self.pageSize, attributes, path)
  }

  private static func chunks(
    _ references: [WireChunkReference], from first: Int, _ attributes: FileAttributes, _ path: String
  ) throws -> [FileChunk] {
    guard let size = attributes.chunkSize?.bytes else {
      throw DFSError(.corrupt, "the metadata of \(path) names no chunk size", metadata: ["path": path])
    }
    let length = attributes.length.rawValue
    return try references.prefix(pageSize).enumerated().map { place, reference in
      let position = first + place
      let offset = Int64(position) * Int64(size)
      let expected = min(Int64(size), length - offset)
      guard Int64(reference.length) == expected, expected > 0 else {
        throw DFSError(
          .corrupt,
          "the manifest of \(path) gives chunk \(position) \(reference.length) bytes instead of \(expected)",
          metadata: ["path": path])
      }
      return FileChunk(
        id: ChunkID(inode: attributes.inode, index: reference.index), position: position, offset: offset,
        length: Int(reference.length), group: GroupID(rawValue: reference.group),
        root: try Digest(wire: reference.root, "the root of a chunk of \(path)"))
    }
  }

  private static func check(_ content: ByteBuffer, _ attributes: FileAttributes, _ path: RemotePath) throws {
    let root = HashedPiece.root(of: content)
    guard Int64(content.readableBytes) == attributes.length.rawValue,
      attributes.root.map({ $0 == root }) ?? true
    else {
      throw DFSError(
        .corrupt, "\(path): the content in the metadata fails its hash", metadata: ["path": path.description])
    }
  }

  /// How long a read may take.
  enum Reading: Sendable {
    /// As long as its consumer likes.
    case unbounded
    /// Only as long as its chunks take: one chunk is over before a pin could matter.
    case whileLong
  }

  /// Keeps the version from being reaped while `body` reads it.
  nonisolated func pinned<Result: Sendable>(
    _ reading: Reading = .unbounded, _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    // Inline content is here already.
    if inline != nil || reading == .whileLong && attributes.chunkCount == 1 { return try await body() }
    return try await withThrowingTaskGroup(of: Result?.self) { group in
      defer { group.cancelAll() }
      group.addTask { try await body() }
      group.addTask { [self] in
        try await keepPinned()
        return nil
      }
      while let result = try await group.next() {
        if let result { return result }
      }
      throw CancellationError()
    }
  }

  /// Renews the pin in time. Returns when the version cannot be kept; reading it may go well all the same.
  private nonisolated func keepPinned() async throws {
    var pause = validity / 2
    while true {
      try await Task.sleep(for: max(.milliseconds(500), pause))
      var request = WirePinVersionRequest()
      request.inodes = [attributes.inode.rawValue]
      do {
        let answer = try await connection.read(CoordinatorMethods.pinVersion, request)
        guard answer.gone.isEmpty else { return }
        pause = .milliseconds(Int64(clamping: answer.pinMs)) / 3
      } catch let error as DFSError where error.code != .cancelled {
        // Whatever hinders the pin, the bytes are there for now.
        pause = .seconds(1)
      }
    }
  }
}
