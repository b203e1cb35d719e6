import DFSCore
import DFSRPC
import DFSTransport
import NIOCore

/// A connection to a dfs cluster: metadata from its coordinator, data straight from and to its datanodes.
///
/// ```swift
/// let client = try DFSClient.connect(coordinators: [Endpoint("127.0.0.1:7400")])
/// let path = try RemotePath("/photos/cat.jpg")
///
/// var options = UploadOptions()
/// options.makeParents = true
/// try await client.upload(file: "cat.jpg", to: path, options: options)
///
/// for try await entry in client.entries(of: .root, recursive: true) {
///   print(entry.path, entry.attributes.length)
/// }
/// try await client.download(path, to: "copy.jpg")
/// await client.close()
/// ```
///
/// What was acknowledged is durable on the replicas that the receipt counts; what was read was verified
/// against the hash in the metadata. Operations may run side by side from any task. Every one of them throws
/// `DFSError` and nothing else: its code says what to do. `.outcomeUnknown` means that a change may or may
/// not have been made; `.cancelled` that the calling task was cancelled. A coordinator that went away is
/// waited for as long as `ClientConfiguration.patience` says.
public final class DFSClient: Sendable {
  let connection: ClusterConnection

  /// Prepares a client. Nothing is sent yet: the first operation finds out whether a coordinator answers.
  /// Throws `.invalidArgument` for an empty list or a certificate that cannot be used.
  public static func connect(
    coordinators: [Endpoint], configuration: ClientConfiguration = ClientConfiguration()
  ) throws -> DFSClient {
    guard !coordinators.isEmpty else {
      throw DFSError(.invalidArgument, "a client needs the address of at least one coordinator")
    }
    return DFSClient(try ClusterConnection(coordinators: coordinators, configuration: configuration))
  }

  private init(_ connection: ClusterConnection) { self.connection = connection }

  /// Closes all connections. Operations that still run fail.
  public func close() async { await connection.close() }

  /// Runs one public operation: on an event loop, where the calls it makes need no thread hops, under one
  /// trace id, and with `DFSError` as its only error.
  func operation<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
    do {
      return try await OperationTrace.run {
        do {
          let result = try await withTaskExecutorPreference(connection.loops.next(), operation: body)
          connection.logger.debug("an operation is done")
          return result
        } catch {
          connection.logger.info("an operation failed", metadata: ["error": "\(error)"])
          throw error
        }
      }
    } catch {
      throw DFSError(wrapping: error, "the operation failed")
    }
  }
}
