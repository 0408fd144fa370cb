// Peers that circle one another, joined by links: one turn while the clock runs from 0 to 1, so that it can loop.
#version 3.7;
global_settings { assumed_gamma 1 }

#declare Turn = clock * 360;

camera {
  location <0, 5, -10.5> look_at <0, 0.25, 0>
  right x * image_width / image_height
  angle 46
}
light_source { <-8, 14, -10> color rgb 1 area_light <2, 0, 0>, <0, 0, 2>, 3, 3 adaptive 1 }
light_source { <10, 6, -4> color rgb <0.25, 0.3, 0.4> shadowless }
sky_sphere { pigment { gradient y color_map { [0 rgb <0.55, 0.68, 0.85>] [0.6 rgb <0.08, 0.12, 0.25>] } } }

fog { distance 130 color rgb <0.35, 0.45, 0.65> }

plane { y, -1
  pigment { checker color rgb <0.5, 0.56, 0.68>, color rgb <0.24, 0.29, 0.4> scale 2.4 }
  finish { reflection 0.15 diffuse 0.7 }
}

#declare Peers = 6;
#declare Place = array[Peers];
#for (N, 0, Peers - 1)
  #declare Place[N] = vrotate(<2.9, 0.35 + 0.55 * sin(radians(Turn * 2 + N * 120)), 0>, <0, Turn + N * 360 / Peers, 0>);
#end

#for (N, 0, Peers - 1)
  sphere { Place[N], 0.62
    pigment { color rgb <0.5 + 0.45 * cos(N), 0.5 + 0.4 * cos(N + 2.1), 0.55 + 0.4 * cos(N + 4.2)> }
    finish { reflection 0.25 specular 0.7 roughness 0.01 diffuse 0.7 }
  }
  #for (Other, N + 1, Peers - 1)
    cylinder { Place[N], Place[Other], 0.035
      pigment { color rgb <0.95, 0.85, 0.45> }
      finish { ambient 0.25 specular 0.4 }
    }
  #end
#end

sphere { <0, 0.8, 0>, 1.05
  pigment { color rgbf <0.92, 0.97, 1, 0.9> }
  finish { reflection { 0.05, 0.6 fresnel } specular 0.9 roughness 0.003 conserve_energy }
  interior { ior 1.4 }
}
