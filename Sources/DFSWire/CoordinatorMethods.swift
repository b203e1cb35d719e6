package import DFSRPC

/// The methods of `dfs.v1.CoordinatorService`; the protocol file says what each does.
package enum CoordinatorMethods {
  package static let service = "dfs.v1.CoordinatorService"

  package static let beginUpload = UnaryMethod<WireBeginUploadRequest, WireBeginUploadResponse>(
    path: "/dfs.v1.CoordinatorService/BeginUpload", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let allocateChunks = UnaryMethod<WireAllocateChunksRequest, WireAllocateChunksResponse>(
    path: "/dfs.v1.CoordinatorService/AllocateChunks", retry: .whenSafe, request: .protobuf,
    response: .protobuf)

  package static let sealSegment = UnaryMethod<WireSealSegmentRequest, WireSealSegmentResponse>(
    path: "/dfs.v1.CoordinatorService/SealSegment", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let renewUpload = UnaryMethod<WireRenewUploadRequest, WireRenewUploadResponse>(
    path: "/dfs.v1.CoordinatorService/RenewUpload", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let commitUpload = UnaryMethod<WireCommitUploadRequest, WireCommitUploadResponse>(
    path: "/dfs.v1.CoordinatorService/CommitUpload", retry: .whenSafe, request: .protobuf, response: .protobuf
  )

  package static let abortUpload = UnaryMethod<WireAbortUploadRequest, WireAbortUploadResponse>(
    path: "/dfs.v1.CoordinatorService/AbortUpload", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let resumeUpload = UnaryMethod<WireResumeUploadRequest, WireResumeUploadResponse>(
    path: "/dfs.v1.CoordinatorService/ResumeUpload", retry: .whenSafe, request: .protobuf, response: .protobuf
  )

  package static let putInline = UnaryMethod<WirePutInlineRequest, WirePutInlineResponse>(
    path: "/dfs.v1.CoordinatorService/PutInline", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let stat = UnaryMethod<WireStatRequest, WireStatResponse>(
    path: "/dfs.v1.CoordinatorService/Stat", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let lookup = UnaryMethod<WireLookupRequest, WireLookupResponse>(
    path: "/dfs.v1.CoordinatorService/Lookup", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let getManifest = UnaryMethod<WireGetManifestRequest, WireGetManifestResponse>(
    path: "/dfs.v1.CoordinatorService/GetManifest", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let list = UnaryMethod<WireListRequest, WireListResponse>(
    path: "/dfs.v1.CoordinatorService/List", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let diskUsage = UnaryMethod<WireDiskUsageRequest, WireDiskUsageResponse>(
    path: "/dfs.v1.CoordinatorService/DiskUsage", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let pinVersion = UnaryMethod<WirePinVersionRequest, WirePinVersionResponse>(
    path: "/dfs.v1.CoordinatorService/PinVersion", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let makeDirectory = UnaryMethod<WireMakeDirectoryRequest, WireMakeDirectoryResponse>(
    path: "/dfs.v1.CoordinatorService/MakeDirectory", retry: .whenSafe, request: .protobuf,
    response: .protobuf)

  package static let rename = UnaryMethod<WireRenameRequest, WireRenameResponse>(
    path: "/dfs.v1.CoordinatorService/Rename", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let remove = UnaryMethod<WireRemoveRequest, WireRemoveResponse>(
    path: "/dfs.v1.CoordinatorService/Remove", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let setAttributes = UnaryMethod<WireSetAttributesRequest, WireSetAttributesResponse>(
    path: "/dfs.v1.CoordinatorService/SetAttributes", retry: .whenSafe, request: .protobuf,
    response: .protobuf)

  package static let getGroups = UnaryMethod<WireGetGroupsRequest, WireGetGroupsResponse>(
    path: "/dfs.v1.CoordinatorService/GetGroups", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let reportReplicas = UnaryMethod<WireReportReplicasRequest, WireReportReplicasResponse>(
    path: "/dfs.v1.CoordinatorService/ReportReplicas", retry: .whenSafe, request: .protobuf,
    response: .protobuf)

  package static let getStatus = UnaryMethod<WireGetStatusRequest, WireGetStatusResponse>(
    path: "/dfs.v1.CoordinatorService/GetStatus", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let listNodes = UnaryMethod<WireListNodesRequest, WireListNodesResponse>(
    path: "/dfs.v1.CoordinatorService/ListNodes", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let registerNode = UnaryMethod<WireRegisterNodeRequest, WireRegisterNodeResponse>(
    path: "/dfs.v1.CoordinatorService/RegisterNode", retry: .whenSafe, request: .protobuf, response: .protobuf
  )

  package static let heartbeat = BidirectionalMethod<WireHeartbeatRequest, WireHeartbeatResponse>(
    path: "/dfs.v1.CoordinatorService/Heartbeat", retry: .never, request: .protobuf, response: .protobuf)

  package static let listTrash = UnaryMethod<WireListTrashRequest, WireListTrashResponse>(
    path: "/dfs.v1.CoordinatorService/ListTrash", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let undelete = UnaryMethod<WireUndeleteRequest, WireUndeleteResponse>(
    path: "/dfs.v1.CoordinatorService/Undelete", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let purgeTrash = UnaryMethod<WirePurgeTrashRequest, WirePurgeTrashResponse>(
    path: "/dfs.v1.CoordinatorService/PurgeTrash", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let changeNode = UnaryMethod<WireChangeNodeRequest, WireChangeNodeResponse>(
    path: "/dfs.v1.CoordinatorService/ChangeNode", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let canStop = UnaryMethod<WireCanStopRequest, WireCanStopResponse>(
    path: "/dfs.v1.CoordinatorService/CanStop", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let listJobs = UnaryMethod<WireListJobsRequest, WireListJobsResponse>(
    path: "/dfs.v1.CoordinatorService/ListJobs", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let controlJob = UnaryMethod<WireControlJobRequest, WireControlJobResponse>(
    path: "/dfs.v1.CoordinatorService/ControlJob", retry: .whenSafe, request: .protobuf, response: .protobuf)

  package static let releaseHold = UnaryMethod<WireReleaseHoldRequest, WireReleaseHoldResponse>(
    path: "/dfs.v1.CoordinatorService/ReleaseHold", retry: .whenSafe, request: .protobuf, response: .protobuf)
}
