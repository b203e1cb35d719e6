package import DFSRPC

/// The methods of `dfs.v1.DataNodeService`; the protocol file says what each does.
package enum DataNodeMethods {
  package static let service = "dfs.v1.DataNodeService"

  package static let writeChunk = BidirectionalMethod<WriteChunkPart, WireWriteChunkResponse>(
    path: "/dfs.v1.DataNodeService/WriteChunk", retry: .never, request: .writeChunkPart, response: .protobuf)

  package static let readChunk = ServerStreamingMethod<WireReadChunkRequest, ReadChunkPart>(
    path: "/dfs.v1.DataNodeService/ReadChunk", retry: .whenSafe, request: .protobuf, response: .readChunkPart)

  package static let statChunk = UnaryMethod<WireStatChunkRequest, WireStatChunkResponse>(
    path: "/dfs.v1.DataNodeService/StatChunk", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let listChunks = UnaryMethod<WireListChunksRequest, WireListChunksResponse>(
    path: "/dfs.v1.DataNodeService/ListChunks", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let reapChunks = UnaryMethod<WireReapChunksRequest, WireReapChunksResponse>(
    path: "/dfs.v1.DataNodeService/ReapChunks", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let copyChunks = ServerStreamingMethod<WireCopyChunksRequest, WireCopyChunksResponse>(
    path: "/dfs.v1.DataNodeService/CopyChunks", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let listGroups = UnaryMethod<WireListGroupsRequest, WireListGroupsResponse>(
    path: "/dfs.v1.DataNodeService/ListGroups", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let keepMetadata = BidirectionalMethod<WireKeepMetadataRequest, WireKeepMetadataResponse>(
    path: "/dfs.v1.DataNodeService/KeepMetadata", retry: .never, request: .protobuf, response: .protobuf)

  package static let readMetadata = ServerStreamingMethod<WireReadMetadataRequest, WireReadMetadataResponse>(
    path: "/dfs.v1.DataNodeService/ReadMetadata", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let listNodeJobs = UnaryMethod<WireListNodeJobsRequest, WireListNodeJobsResponse>(
    path: "/dfs.v1.DataNodeService/ListNodeJobs", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let controlNodeJob = UnaryMethod<WireControlNodeJobRequest, WireListNodeJobsResponse>(
    path: "/dfs.v1.DataNodeService/ControlNodeJob", retry: .whenSafe, request: .protobuf, response: .protobuf)
}
