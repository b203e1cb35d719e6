/// The protocol's own description, which server reflection hands to `grpcurl` and the like: a serialised
/// `google.protobuf.FileDescriptorSet` of `dfs.v1`, written by `Scripts/generate-protos`.
package enum ProtocolDescriptors {
  package static let fileDescriptorSet: [UInt8] = PackageResources.dfs_v1_binpb
}
