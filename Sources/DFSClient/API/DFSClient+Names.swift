import DFSCore
import DFSRPC
import DFSWire
import Foundation

extension DFSClient {
  /// Attributes of one path. Throws `.notFound`.
  public func stat(_ path: RemotePath) async throws -> FileAttributes {
    try await operation { [connection] in
      var request = WireStatRequest()
      request.path = path.description
      let answer = try await connection.read(CoordinatorMethods.stat, request)
      connection.saw(revision: answer.revision)
      return try FileAttributes(answer.attributes)
    }
  }

  /// Creates a directory. With `makeParents`, missing parents too, and an existing directory is success.
  @discardableResult
  public func makeDirectory(
    _ path: RemotePath, makeParents: Bool = false, mode: UInt16? = nil, replicas: Int? = nil
  ) async throws -> FileAttributes {
    try await operation { [connection] in
      let answer = try await connection.mutate(CoordinatorMethods.makeDirectory) { id in
        var request = WireMakeDirectoryRequest()
        request.requestID = id
        request.path = path.description
        request.makeParents = makeParents
        request.mode = UInt32(mode ?? 0)
        request.replicas = UInt32(replicas ?? 0)
        return request
      }
      connection.saw(revision: answer.revision)
      return try FileAttributes(answer.attributes)
    }
  }

  /// Whether a move may replace a file.
  public enum Replacement: Sendable { case allowed, refused }

  /// Gives a file or a whole directory another name, at one moment. `target` is the new name, not a directory
  /// to move into.
  public func move(
    _ source: RemotePath, to target: RemotePath, replacing replacement: Replacement = .allowed
  ) async throws {
    try await operation { [connection] in
      let answer = try await connection.mutate(CoordinatorMethods.rename) { id in
        var request = WireRenameRequest()
        request.requestID = id
        request.source = source.description
        request.target = target.description
        request.noReplace = replacement == .refused
        return request
      }
      connection.saw(revision: answer.revision)
    }
  }

  /// What a removal takes with it.
  public enum Removal: Sendable {
    /// A file or an empty directory.
    case single
    /// A directory with everything below it, at one moment.
    case tree
  }

  /// Whether what is removed can be had back.
  public enum Disposal: Sendable {
    /// For the time that the cluster keeps its trash, if it keeps one.
    case trash
    /// Never: its space comes back as soon as nobody can be reading it.
    case now
  }

  /// Removes a name. Gives the deletion, for `undelete`; nothing when it went past the trash.
  @discardableResult
  public func remove(
    _ path: RemotePath, _ extent: Removal = .single, _ disposal: Disposal = .trash,
    condition: WriteCondition? = nil
  ) async throws -> DeletionID? {
    try await operation { [connection] in
      let answer = try await connection.mutate(CoordinatorMethods.remove) { id in
        var request = WireRemoveRequest()
        request.requestID = id
        request.path = path.description
        request.recursive = extent == .tree
        request.now = disposal == .now
        if let condition { request.precondition = WirePrecondition(condition) }
        return request
      }
      connection.saw(revision: answer.revision)
      return DeletionID(answer.deletion)
    }
  }

  /// Changes what is given; an empty user attribute is removed.
  @discardableResult
  public func setAttributes(
    of path: RemotePath, mode: UInt16? = nil, modified: Timestamp? = nil,
    userAttributes: [String: [UInt8]] = [:]
  ) async throws -> FileAttributes {
    try await operation { [connection] in
      let answer = try await connection.mutate(CoordinatorMethods.setAttributes) { id in
        var request = WireSetAttributesRequest()
        request.requestID = id
        request.path = path.description
        if let mode { request.mode = UInt32(mode) }
        if let modified { request.modifiedNs = modified.rawValue }
        request.userAttributes = userAttributes.mapValues { Data($0) }
        return request
      }
      connection.saw(revision: answer.revision)
      return try FileAttributes(answer.attributes)
    }
  }

  /// Counts everything at and below a path. Large trees take several calls, so the answer may mix moments.
  public func diskUsage(of path: RemotePath) async throws -> DiskUsage {
    try await operation { [connection] in
      var usage = DiskUsage()
      var request = WireDiskUsageRequest()
      request.path = path.description
      repeat {
        let answer = try await connection.read(CoordinatorMethods.diskUsage, request)
        usage.files += answer.files
        usage.directories += answer.directories
        usage.length += ByteCount(clamping: answer.bytes)
        usage.stored += ByteCount(clamping: answer.storedBytes)
        request.page = answer.nextPage
      } while !request.page.isEmpty
      return usage
    }
  }
}
