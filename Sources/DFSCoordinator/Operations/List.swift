import DFSCore
import DFSMetadata
import DFSWire
import Foundation

extension CoordinatorService {
  func list(_ request: WireListRequest) async throws -> WireListResponse {
    let path = try RemotePath(request.path)
    let wanted = request.pageSize == 0 ? 1000 : Int(min(request.pageSize, 10_000))
    var query = ListRequest(path: path, depth: request.recursive ? .recursive : .children)
    if !request.page.isEmpty {
      let token = try ListToken(request.page)
      (query.after, query.snapshot) = (token.after, token.snapshot)
    }
    let (namespace, first) = (namespace, query)
    return try await disk.run { try Listing(request: first, wanted: wanted).run(in: namespace) }
  }
}

/// One answer, put together from pages of the namespace until it is long or large enough.
private struct Listing {
  /// An answer of entries of ordinary size ends before this.
  static let softLimit = 960 << 10
  /// No answer passes this: entries beyond it wait for the next page, maybe at the price of the snapshot.
  static let hardLimit = 1 << 20
  /// Entries that are asked for first: their size says how many may follow.
  static let firstStep = 32
  static let largestStep = 500

  var request: ListRequest
  let wanted: Int
  var response = WireListResponse()
  var size = 0

  init(request: ListRequest, wanted: Int) {
    self.request = request
    self.wanted = wanted
  }

  /// `before` is the entry that the page begins behind.
  mutating func take(_ page: ListPage, behind before: RemotePath?) throws {
    response.revision = page.revision.rawValue
    if page.isLaterRevision { response.snapshotLost = true }
    (request.after, request.snapshot) = (page.next?.after, page.next?.snapshot)
    var last = before
    for entry in page.entries {
      let wire = WireListEntry(entry, below: request.path)
      let bytes = try wire.serializedData().count + 8
      if size + bytes > Self.hardLimit, let last {
        request.after = last
        return
      }
      size += bytes
      response.entries.append(wire)
      last = entry.path
    }
  }

  /// Entries to ask for next: about half of what fits.
  private var step: Int {
    guard !response.entries.isEmpty else { return Self.firstStep }
    let mean = size / response.entries.count
    return min(Self.largestStep, max(1, (Self.softLimit - size) / (2 * mean)))
  }

  func run(in namespace: Namespace) throws -> WireListResponse {
    var listing = self
    repeat {
      listing.request.limit = min(listing.step, wanted - listing.response.entries.count)
      let before = listing.response.entries.count
      try listing.take(namespace.list(listing.request), behind: listing.request.after)
      guard listing.response.entries.count > before else { break }
    } while listing.request.after != nil && listing.response.entries.count < wanted
      && listing.size < Self.softLimit
    if let after = listing.request.after {
      listing.response.nextPage = ListToken(after: after, snapshot: listing.request.snapshot ?? 0).bytes
    }
    return listing.response
  }
}

extension WireListEntry {
  /// Relative to the listed directory; a listed file has its own name.
  fileprivate init(_ entry: ListPage.Entry, below base: RemotePath) {
    self.init()
    let relative = entry.path.components.dropFirst(base.components.count).map(\.description)
    path = relative.isEmpty ? entry.path.name?.description ?? "" : relative.joined(separator: "/")
    attributes = WireAttributes(entry.status)
  }
}

/// Where a listing goes on: opaque to clients, checked when it comes back.
struct ListToken {
  private static let version: UInt8 = 1

  var after: RemotePath
  var snapshot: UInt64

  init(after: RemotePath, snapshot: UInt64) {
    self.after = after
    self.snapshot = snapshot
  }

  init(_ bytes: Data) throws {
    let bytes = [UInt8](bytes)
    guard bytes.count > 9, bytes[0] == Self.version, let text = String(validating: bytes[9...], as: UTF8.self)
    else {
      throw DFSError(.invalidArgument, "the page token is not one of this coordinator's; list from the start")
    }
    snapshot = bytes[1..<9].reduce(0) { $0 << 8 | UInt64($1) }
    after = try RemotePath(text)
  }

  var bytes: Data {
    var bytes = Data([Self.version])
    withUnsafeBytes(of: snapshot.bigEndian) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: after.description.utf8)
    return bytes
  }
}
