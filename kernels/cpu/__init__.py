"""The native library: one shared object with a C interface that holds every C++ kernel of this folder's neighbours."""
