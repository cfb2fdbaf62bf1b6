"""Recipe for Spack 1.0 and later; repo.yaml beside packages/ says how to use it."""

from spack_repo.builtin.build_systems.cmake import CMakePackage

from spack.package import *


class Patchbank(CMakePackage):
    """Finds defects in images the PatchCore way, on any number of MPI ranks, in C."""

    license("Apache-2.0")

    # Of a checkout: `spack dev-build`, or `spack develop --path` in an environment.
    version("0.1.0")

    variant("cuda", default=False, description="Build the plugin of CUDA devices")

    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10: ~mpi")
    depends_on("onednn@2.5:2 cpu_runtime=omp")
    depends_on("jpeg")
    depends_on("libpng")
    depends_on("jansson")
    depends_on("libcsv")
    depends_on("openssl")
    depends_on("isa-l")
    depends_on("cuda@12:", when="+cuda")
    depends_on("cudnn@9:", when="+cuda")

    generator("ninja")

    def cmake_args(self):
        return [self.define("PB_TESTS", False), self.define("PB_CUDA", "ON" if self.spec.satisfies("+cuda") else "OFF")]
