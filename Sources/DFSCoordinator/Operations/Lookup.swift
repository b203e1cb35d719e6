import DFSCore
import DFSMetadata
import DFSWire
import Foundation

extension CoordinatorService {
  func lookup(_ request: WireLookupRequest) async throws -> WireLookupResponse {
    let path = try RemotePath(request.path)
    let (first, count) = (request.firstChunk, pageSize(request.maxChunks))
    var (response, rows) = try await read(.few) { view in
      let found = try view.lookup(path)
      var response = WireLookupResponse()
      response.attributes = WireAttributes(found.status)
      response.revision = view.revision.rawValue
      switch found.contents {
      case .directory:
        throw DFSError(.failedPrecondition, "\(path) is a directory", metadata: ["path": "\(path)"])
      case .inline(let bytes):
        response.attributes.isInline = true
        response.content = Data(bytes)
        return (response, [PlacementGroup]())
      case .chunks(let page):
        let (chunks, rows) = try view.manifest(
          of: found.status.inode, from: first, count: count, known: (page, found.groups))
        response.chunks = chunks
        return (response, rows)
      }
    }
    let placement = cluster.answer(rows)
    response.groups = placement.groups
    response.nodes = placement.nodes
    response.validMs = UInt64(configuration.namespace.reapGrace.milliseconds * 9 / 10)
    return response
  }

  func getManifest(_ request: WireGetManifestRequest) async throws -> WireGetManifestResponse {
    let (inode, first) = (InodeID(rawValue: request.inode), request.firstChunk)
    let count = pageSize(request.maxChunks)
    let (chunks, rows) = try await read { try $0.manifest(of: inode, from: first, count: count) }
    var response = WireGetManifestResponse()
    let placement = cluster.answer(rows)
    response.chunks = chunks
    response.groups = placement.groups
    response.nodes = placement.nodes
    return response
  }

  private func pageSize(_ wanted: UInt32) -> Int {
    wanted == 0 ? Self.manifestPage : min(Int(wanted), Self.manifestPage)
  }
}

extension NamespaceView {
  /// Chunks of a version from a place in the file on, and the rows of their groups. `known` is its first
  /// page.
  fileprivate func manifest(
    of inode: InodeID, from first: UInt64, count: Int,
    known: (page: ManifestPage, rows: [PlacementGroup])? = nil
  ) throws -> ([WireChunkReference], [PlacementGroup]) {
    var chunks: [ChunkReference] = []
    var number: UInt32? = UInt32(clamping: first / UInt64(Limits.segmentChunks))
    while let page = number, chunks.count < count {
      let isKnown = page == 0 && known != nil
      guard let found = try isKnown ? known?.page : manifest(inode, page: page) else { break }
      let skipped =
        first > found.firstChunk ? Int(min(first - found.firstChunk, UInt64(found.chunks.count))) : 0
      chunks += found.chunks.dropFirst(skipped).prefix(count - chunks.count)
      number = found.nextPage
    }
    var rows = Dictionary(
      (known?.rows ?? []).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let named = Set(chunks.map(\.group))
    let missing = named.subtracting(rows.keys).sorted()
    for row in try groups(missing) { rows[row.id] = row }
    return (chunks.map { WireChunkReference($0) }, named.sorted().compactMap { rows[$0] })
  }
}
