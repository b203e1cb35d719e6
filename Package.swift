// swift-tools-version: 6.2
import PackageDescription

// The module graph, written once. A row may import only what it names; `RepositoryTests` checks the
// `import` lines of every file against this table, so an arrow can not appear by accident.
let modules: [(name: String, uses: [String], packages: [String])] = [
  ("DFSCore", [], []),
  ("DFSCodec", ["CZlib", "CISAL", "DFSCore"], []),
  ("DFSCrypto", ["COpenSSL", "DFSCore"], []),
  ("DFSObservability", ["DFSCore"], ["Logging", "Metrics"]),
  ("DFSJobs", ["DFSCore"], ["Logging"]),
  ("DFSConfig", ["DFSCore"], ["Configuration", "Yams"]),
  ("DFSTransport", ["CNghttp2", "DFSCrypto", "DFSCore"], ["NIO", "Collections", "Logging", "Metrics"]),
  ("DFSRPC", ["DFSTransport", "DFSCodec", "DFSCore"],
   ["NIO", "Collections", "Logging", "Metrics", "SwiftProtobuf"]),
  ("DFSWire", ["DFSRPC", "DFSCore"], ["NIO", "SwiftProtobuf"]),
  ("DFSKeyValue", ["CRocksDB", "DFSCore"], ["Collections"]),
  ("DFSChunkStore", ["CLinux", "DFSKeyValue", "DFSCodec", "DFSCrypto", "DFSCore"], ["Collections", "Logging", "Metrics"]),
  ("DFSMetadata", ["DFSKeyValue", "DFSCore"], ["Collections", "Logging", "Metrics"]),
  ("DFSClient", ["DFSWire", "DFSRPC", "DFSTransport", "DFSCodec", "DFSCrypto", "DFSCore"],
   ["NIO", "Collections", "Logging", "Metrics"]),
  ("DFSDataNode",
   ["DFSChunkStore", "DFSWire", "DFSRPC", "DFSTransport", "DFSCodec", "DFSCrypto", "DFSJobs", "DFSObservability",
    "DFSCore"],
   ["NIO", "Collections", "Logging", "Metrics", "ServiceLifecycle"]),
  ("DFSCoordinator",
   ["DFSMetadata", "DFSKeyValue", "DFSWire", "DFSRPC", "DFSTransport", "DFSCodec", "DFSCrypto", "DFSJobs",
    "DFSObservability", "DFSCore"],
   ["NIO", "Collections", "Logging", "Metrics", "ServiceLifecycle"]),
]

let rolesAndBelow = modules.map(\.name)

let products: [String: [Target.Dependency]] = [
  "Logging": [.product(name: "Logging", package: "swift-log")],
  "Metrics": [.product(name: "Metrics", package: "swift-metrics")],
  "Configuration": [.product(name: "Configuration", package: "swift-configuration")],
  "Yams": [.product(name: "Yams", package: "Yams")],
  "NIO": [
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
  ],
  "Collections": [
    .product(name: "DequeModule", package: "swift-collections"),
    .product(name: "OrderedCollections", package: "swift-collections"),
    .product(name: "HeapModule", package: "swift-collections"),
  ],
  "SwiftProtobuf": [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
  "ServiceLifecycle": [
    .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
    .product(name: "UnixSignals", package: "swift-service-lifecycle"),
  ],
  "ArgumentParser": [.product(name: "ArgumentParser", package: "swift-argument-parser")],
]

/// Sources of generated code, which lies beside them.
let excludes = ["DFSWire": ["Protos"], "DFSRPC": ["Protos"], "InteropTests": ["Foreign"], "DFSRPCTests": ["Corpus"]]

let resources: [String: [Resource]] = [
  "DFSRPC": [.embedInCode("Descriptors/grpc.binpb")], "DFSWire": [.embedInCode("Descriptors/dfs.v1.binpb")],
]

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
]

func dependencies(_ uses: [String], _ packages: [String]) -> [Target.Dependency] {
  uses.map { .target(name: $0) } + packages.flatMap { products[$0] ?? [] }
}

/// Tests beside the modules of the same name, and those that need several: whole roles in one process
/// (`ClusterTests`), the deciding structs under simulated time and failures (`SimulationTests`), real processes
/// (`EndToEndTests`), those under attack (`ChaosTests`), foreign clients (`InteropTests`), the repository itself.
let tests: [(name: String, uses: [String], packages: [String])] =
  modules.map { ($0.name + "Tests", [$0.name, "TestSupport"] + $0.uses, $0.packages) } + [
    ("RepositoryTests", ["TestSupport"], []),
    ("InteropTests", ["DFSRPC", "DFSTransport", "DFSCrypto", "DFSCore", "TestSupport"],
     ["NIO", "SwiftProtobuf", "Logging"]),
    ("ClusterTests", rolesAndBelow + ["TestSupport"], ["NIO", "Logging"]),
    ("SimulationTests",
     ["DFSCoordinator", "DFSDataNode", "DFSMetadata", "DFSChunkStore", "DFSKeyValue", "DFSWire", "DFSCodec",
      "DFSCrypto", "DFSCore", "TestSupport"], ["Logging"]),
    ("EndToEndTests", ["DFSClient", "DFSCore", "TestSupport"], []),
    ("ChaosTests",
     ["DFSClient", "DFSWire", "DFSRPC", "DFSTransport", "DFSObservability", "DFSCore", "TestSupport"],
     ["Logging"]),
  ]

let libraries: [Target] = [
  .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
  .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
  .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
  .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
  .systemLibrary(name: "CLinux"),
  .systemLibrary(name: "CRocksDB", pkgConfig: "rocksdb", providers: [.apt(["librocksdb-dev"])]),
]

let moduleTargets: [Target] = modules.map {
  .target(
    name: $0.name, dependencies: dependencies($0.uses, $0.packages), exclude: excludes[$0.name] ?? [],
    resources: resources[$0.name] ?? [], swiftSettings: settings)
}

let programs: [Target] = [
  .executableTarget(
    name: "dfsd",
    dependencies: dependencies(
      rolesAndBelow, ["ArgumentParser", "Logging", "Metrics", "ServiceLifecycle", "NIO"]),
    swiftSettings: settings),
  .target(
    name: "TestSupport", dependencies: dependencies(["DFSCore"], []), path: "Tests/TestSupport",
    swiftSettings: settings),
]

/// `DFS_TESTS=A,B` builds only these test targets: for a quick turn at one module, and for partial sanitizer builds.
let selectedTests = Context.environment["DFS_TESTS"]?.split(separator: ",").map(String.init)

let testTargets: [Target] = tests.filter { selectedTests?.contains($0.name) ?? true }.map {
  .testTarget(
    name: $0.name, dependencies: dependencies($0.uses, $0.packages), exclude: excludes[$0.name] ?? [],
    swiftSettings: settings)
}

let package = Package(
  name: "dfs",
  products: [
    .executable(name: "dfsd", targets: ["dfsd"]),
    .library(name: "DFSClient", targets: ["DFSClient"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(
      url: "https://github.com/apple/swift-configuration", from: "1.4.0",
      traits: [.defaults, "YAML", "Reloading"]),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: libraries + moduleTargets + programs + testTargets
)
