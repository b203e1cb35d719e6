import DFSCore
import DFSMetadata
import DFSWire
import Foundation

extension CoordinatorService {
  func listTrash(_ request: WireListTrashRequest) async throws -> WireListTrashResponse {
    let path = request.path.isEmpty ? RemotePath.root : try RemotePath(request.path)
    let limit = request.pageSize == 0 ? Limits.listEntries : min(Int(request.pageSize), Limits.listEntries)
    let previous = request.page.isEmpty ? nil : try DeletionID(token: request.page)
    let page = try await read { try $0.trash(below: path, after: previous, limit: limit) }
    return try WireListTrashResponse(page)
  }
}

extension WireListTrashResponse {
  /// An answer ends before this; what is left of the page comes with the next one.
  private static let mostBytes = 1 << 20

  fileprivate init(_ page: TrashPage) throws {
    self.init()
    var size = 0
    for entry in page.entries {
      let wire = WireTrashEntry(entry)
      size += try wire.serializedData().count + 8
      if size > Self.mostBytes, let last = entries.last, let deletion = DeletionID(last.deletion) {
        nextPage = deletion.token
        return
      }
      entries.append(wire)
    }
    nextPage = page.next?.token ?? Data()
  }
}

extension WireTrashEntry {
  fileprivate init(_ entry: TrashEntry) {
    self.init()
    deletion = entry.deletion.description
    path = entry.path.description
    type = entry.kind == .file ? .file : .directory
    length = UInt64(max(0, entry.length.rawValue))
    deletedMs = UInt64(max(0, entry.deleted.rawValue))
    expiresMs = UInt64(max(0, entry.expires.rawValue))
    cause = entry.cause == .removed ? .removed : .replaced
    inode = entry.inode.rawValue
  }
}

extension DeletionID {
  /// As a user gives it. Throws `.invalidArgument`.
  init(argument text: String) throws {
    guard let deletion = DeletionID(text) else {
      throw DFSError(
        .invalidArgument,
        "\"\(text)\" is no deletion: it is two hexadecimal numbers, such as 18c3f2a6d80-1000000000012; list "
          + "the trash to see them")
    }
    self = deletion
  }

  /// Names a page that goes on after this deletion: opaque to clients, checked when it comes back.
  fileprivate init(token: Data) throws {
    let bytes = [UInt8](token)
    guard bytes.count == 17, bytes[0] == 1 else {
      throw DFSError(.invalidArgument, "the page token is not one of this coordinator's; list from the start")
    }
    func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
    self.init(expiry: number(bytes[1..<9]), serial: number(bytes[9...]))
  }

  fileprivate var token: Data {
    var bytes = Data([1])
    for number in [expiry, serial] {
      withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }
    return bytes
  }
}
